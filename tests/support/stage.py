"""A small scene and footage that the tests of synthesis share; drawing them takes a fraction of a second."""

from functools import cache

import numpy as np

from artifactscan.synthesis.artifact import Artifact, SyntheticClip, clean_clip
from artifactscan.synthesis.images import smooth_noise
from artifactscan.synthesis.scene import Scene, random_scene

HEIGHT, WIDTH, FRAMES = 96, 160, 16
START, END = 4, 13


@cache
def scene(seed: int = 5) -> Scene:
    """A scene of 16 frames, 160 × 96; the default one shows a tree, a figure and a ball all the time."""
    return random_scene(seed, height=HEIGHT, width=WIDTH, seconds=2, fps=FRAMES / 2)


@cache
def footage() -> SyntheticClip:
    """A clip with nothing wrong: a textured disc crosses a textured wall."""
    rng = np.random.default_rng(0)
    wall, disc = (
        110 + 90 * np.stack(list(smooth_noise(rng, 3, HEIGHT, WIDTH, cell=cell, period=1)), axis=-1) for cell in (12, 7)
    )
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    frames = []
    for number in range(FRAMES):
        inside = np.hypot(x - 30 - 6 * number, y - 50) < 18
        frames.append(np.where(inside[..., None], 255 - 0.6 * np.roll(disc, 6 * number, axis=1), wall * 0.6))
    return clean_clip(np.clip(np.stack(frames), 0, 255).astype(np.uint8))


def artifact(label: str, variant: str, strength: float = 0.9, **place) -> Artifact:
    """One in frames START to END."""
    return Artifact(label=label, variant=variant, start=START, end=END, strength=strength, **place)


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How many levels each pixel differs by: int, the shape of a clip without its colours."""
    return np.abs(before.astype(int) - after).max(axis=-1)


def check_honest(clean: SyntheticClip, broken: SyntheticClip, label: int) -> None:
    """Asserts that frames outside the last artifact are untouched, and that labels and boxes fit what changed.

    ``clean`` may have artifacts of other labels.
    """
    last = broken.artifacts[-1]
    np.testing.assert_array_equal(broken.frames[: last.start], clean.frames[: last.start])
    np.testing.assert_array_equal(broken.frames[last.end :], clean.frames[last.end :])
    difference = change(clean.frames, broken.frames)
    boxes = broken.boxes.slice(clean.boxes.num_rows).to_pylist()
    assert [box["frame_index"] for box in boxes] == np.flatnonzero(broken.labels[:, label]).tolist()
    for box in boxes:
        assert (box["label"], box["variant"], round(box["strength"], 4)) == (last.label, last.variant, last.strength)
        changed = difference[box["frame_index"]]
        rows = slice(box["y"], box["y"] + box["height"])
        columns = slice(box["x"], box["x"] + box["width"])
        assert np.count_nonzero(changed) == np.count_nonzero(changed[rows, columns]), "a change outside of the box"
        assert changed[rows, columns].max() >= 10, "nothing to be seen in the box"
        inside = changed[rows, columns] > 0
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any(), "a box too large"
