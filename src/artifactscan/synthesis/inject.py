"""Puts artifacts into a clip or into a drawn scene."""

from collections.abc import Sequence

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.synthesis import edges, movement, surfaces, things
from artifactscan.synthesis.artifact import (
    CLIP_VARIANTS,
    SCENE_VARIANTS,
    Artifact,
    Box,
    SyntheticClip,
    add_artifact,
    clean_clip,
)
from artifactscan.synthesis.faults import Fault
from artifactscan.synthesis.figure import Figure
from artifactscan.synthesis.images import blur, feather
from artifactscan.synthesis.places import choose_box, follow
from artifactscan.synthesis.scene import Edit, Scene
from artifactscan.synthesis.view import Effect, View

_EFFECTS: dict[str, dict[str, Effect]] = {
    "boundary": edges.EFFECTS,
    "texture": surfaces.EFFECTS,
    "motion": movement.EFFECTS,
    "object": things.EFFECTS,
}
_MARGIN = 0.07
"""Frame heights around a region that effects may take pixels from."""
_MODEL_LABELS = ("motion", "object")
"""Labels whose artifacts act on a scene's model."""


def inject(clip: SyntheticClip, artifact: Artifact, *, seed: int) -> SyntheticClip:
    """The clip with one more artifact; frames outside of it stay bit-identical.

    The region is soft, follows what is in it, and lies in ``artifact.box`` (in the artifact's first frame) or where
    it shows. Boundary, texture and motion artifacts stay within it; objects that split or float leave it. Raises
    UsageError for an artifact that the clip cannot take.
    """
    frames = clip.frames
    artifact.check_fits(len(frames), frames.shape[1], frames.shape[2], CLIP_VARIANTS)
    rng = _generator(seed, artifact)
    box = artifact.box or choose_box(frames, artifact, rng)
    path = follow(frames, box, artifact.start, artifact.end)
    spread = max(box.width, box.height) if artifact.label == "object" else round(_MARGIN * frames.shape[1])
    window = _around(path, spread, frames.shape[1], frames.shape[2])
    blob = feather(box.height, box.width, rng)
    region = np.zeros((len(path), window.height, window.width), np.float32)
    for layer, place in zip(region, path, strict=True):
        y, x = place.y - window.y, place.x - window.x
        layer[y : y + box.height, x : x + box.width] = blob
    return _apply(clip, artifact, window, region, rng)


def inject_into_scene(scene: Scene, artifacts: Sequence[Artifact], *, seed: int) -> SyntheticClip:
    """The scene drawn with these artifacts: motion and object change its model, boundary and texture its surfaces.

    Each strikes the actor nearest to its box, or one drawn by the seed. Raises UsageError for an artifact that the
    scene cannot take.
    """
    for artifact in artifacts:
        artifact.check_fits(scene.frames, scene.height, scene.width, SCENE_VARIANTS)
    clip = clean_clip(scene.clip())
    edits: dict[int, list[Edit]] = {}
    # The model first: redrawing it later would wipe out what was done to the picture.
    for artifact in sorted(artifacts, key=lambda artifact: artifact.label not in _MODEL_LABELS):
        rng = _generator(seed, artifact)
        actor = _choose_actor(scene, artifact, rng)
        if artifact.label in _MODEL_LABELS:
            numbers = tuple(int(number) for number in rng.integers(0, 2**31, 4))
            edits.setdefault(actor, []).append(Fault(artifact=artifact, seed=numbers))
            drawn = np.stack([scene.draw(frame, edits)[0] for frame in range(artifact.start, artifact.end)])
            clip = add_artifact(clip, artifact, drawn)
        else:
            window, region = _actor_region(scene, actor, artifact, edits)
            clip = _apply(clip, artifact, window, region, rng)
    return clip


def _apply(
    clip: SyntheticClip, artifact: Artifact, window: Box, region: np.ndarray, rng: np.random.Generator
) -> SyntheticClip:
    rows, columns = window.slices()
    view = View(
        clip=clip.frames[:, rows, columns],
        start=artifact.start,
        region=region,
        strength=artifact.strength,
        scale=clip.frames.shape[1],
        rng=rng,
    )
    changed = clip.frames[artifact.start : artifact.end].copy()
    if artifact.strength > 0:
        effect = _EFFECTS[artifact.label][artifact.variant]
        changed[:, rows, columns] = np.clip(effect(view) + 0.5, 0, 255).astype(np.uint8)
    return add_artifact(clip, artifact, changed)


def _actor_region(scene: Scene, actor: int, artifact: Artifact, edits: dict[int, list[Edit]]) -> tuple[Box, np.ndarray]:
    """The window that an actor moves through, and how far the actor reaches in each of its frames."""
    times = range(artifact.start, artifact.end)
    owners = (
        np.stack([scene.draw(time, edits)[1] for time in times]) if edits else scene.masks()[times.start : times.stop]
    )
    masks = owners == actor + 1
    seen = masks.any(axis=0)
    if not seen.any():
        seen[:] = True
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    extent = Box(x=int(columns[0]), y=int(rows[0]), width=int(np.ptp(columns)) + 1, height=int(np.ptp(rows)) + 1)
    window = _around([extent], round(_MARGIN * scene.height), scene.height, scene.width)
    # An outline lies half outside of the object: boundary artifacts reach beyond the mask.
    reach = scene.height * (0.02 if artifact.label == "boundary" else 0.004)
    gain = 2.5 if artifact.label == "boundary" else 1.4
    soft = [np.clip(gain * blur(mask[window.slices()].astype(np.float32), reach), 0, 1) for mask in masks]
    return window, np.where(np.stack(soft) < 0.02, 0, np.stack(soft)).astype(np.float32)


def _choose_actor(scene: Scene, artifact: Artifact, rng: np.random.Generator) -> int:
    """The actor to strike: one that can show it, is seen for the whole time, and is large."""
    fit = [
        number for number, actor in enumerate(scene.actors) if artifact.label != "motion" or isinstance(actor, Figure)
    ]
    if not fit:
        raise UsageError("the scene has no figure, so it cannot show a motion artifact; give another seed")
    times = np.unique(np.linspace(artifact.start, artifact.end - 1, 3).round().astype(int))
    rows, columns = artifact.box.slices() if artifact.box else (slice(None), slice(None))
    seen = scene.masks()[times, rows, columns]
    area = np.array([np.count_nonzero(seen == number + 1, axis=(1, 2)).min() for number in fit])
    if artifact.box or not area.any():
        return fit[int(area.argmax())]
    # Larger ones are likelier, since more of the defect shows.
    chance = area.astype(np.float64)
    return fit[int(rng.choice(len(fit), p=chance / chance.sum()))]


def _around(boxes: Sequence[Box], margin: int, height: int, width: int) -> Box:
    """The box around all boxes and a margin, within the frame."""
    left, top = max(0, min(box.x for box in boxes) - margin), max(0, min(box.y for box in boxes) - margin)
    right = min(width, max(box.x + box.width for box in boxes) + margin)
    bottom = min(height, max(box.y + box.height for box in boxes) + margin)
    return Box(x=left, y=top, width=right - left, height=bottom - top)


def _generator(seed: int, artifact: Artifact) -> np.random.Generator:
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative; give 0 or more")
    # Two artifacts of one clip take different numbers, whatever their strengths are.
    name = int.from_bytes(f"{artifact.label}/{artifact.variant}".encode()[:24], "big") % 2**31
    return np.random.default_rng((seed, name, artifact.start))
