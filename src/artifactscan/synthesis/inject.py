"""Puts artifacts into a clip or into a drawn scene."""

from collections.abc import Sequence

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.synthesis.artifact import (
    CLIP_VARIANTS,
    SCENE_VARIANTS,
    Artifact,
    SyntheticClip,
    add_artifact,
    clean_clip,
    enclosing_box,
)
from artifactscan.synthesis.boxes import choose_box, follow_box, soft_blob
from artifactscan.synthesis.figure import Figure
from artifactscan.synthesis.images import blur
from artifactscan.synthesis.pixel_effects import EFFECTS, View
from artifactscan.synthesis.scene import Scene
from artifactscan.synthesis.scene_faults import Fault

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
    count, height, width, _ = frames.shape
    artifact.check_fits(count, height, width, CLIP_VARIANTS)
    rng = _make_generator(seed, artifact)
    box = artifact.box or choose_box(frames, artifact, rng)
    path = follow_box(frames, box, artifact.start, artifact.end)
    blob = soft_blob(box.height, box.width, rng)
    region = np.zeros((len(path), height, width), np.float32)
    for position, place in enumerate(path):
        region[position, *place.slices()] = blob
    margin = max(box.width, box.height) if artifact.label == "object" else round(_MARGIN * height)
    return _apply_effect(clip, artifact, region, margin, rng)


def inject_into_scene(scene: Scene, artifacts: Sequence[Artifact], *, seed: int) -> SyntheticClip:
    """The scene drawn with these artifacts: motion and object change its model, boundary and texture its surfaces.

    Each affects the actor nearest to its box, or one drawn by the seed. Raises UsageError for an artifact that the
    scene cannot take.
    """
    for artifact in artifacts:
        artifact.check_fits(scene.frames, scene.height, scene.width, SCENE_VARIANTS)
    clip = clean_clip(scene.clip())
    faults: dict[int, list[Fault]] = {}
    # The model first: redrawing it later would wipe out what was done to the picture.
    for artifact in sorted(artifacts, key=lambda artifact: artifact.label not in _MODEL_LABELS):
        rng = _make_generator(seed, artifact)
        actor, times = _choose_actor(scene, artifact, rng), range(artifact.start, artifact.end)
        if artifact.label in _MODEL_LABELS:
            numbers = tuple(int(number) for number in rng.integers(0, 2**31, 4))
            faults.setdefault(actor, []).append(Fault(artifact=artifact, seed=numbers))
            clip = add_artifact(clip, artifact, np.stack([scene.draw(time, faults)[0] for time in times]))
            continue
        owners = [scene.draw(time, faults)[1] if faults else scene.masks()[time] for time in times]
        # An outline lies half outside of the object: boundary artifacts reach beyond the mask.
        reach, gain = (0.02, 2.5) if artifact.label == "boundary" else (0.004, 1.4)
        masks = [(owner == actor + 1).astype(np.float32) for owner in owners]
        region = np.stack([np.clip(gain * blur(mask, reach * scene.height), 0, 1) for mask in masks])
        region[region < 0.02] = 0
        clip = _apply_effect(clip, artifact, region, round(_MARGIN * scene.height), rng)
    return clip


def _apply_effect(
    clip: SyntheticClip, artifact: Artifact, region: np.ndarray, margin: int, rng: np.random.Generator
) -> SyntheticClip:
    """The clip changed where ``region``, float32 0..1 (frames to change, height, width), is above 0."""
    changed = clip.frames[artifact.start : artifact.end].copy()
    seen = region.max(axis=0)
    if artifact.strength > 0 and seen.any():
        box = enclosing_box(seen)
        rows = slice(max(0, box.y - margin), box.y + box.height + margin)
        columns = slice(max(0, box.x - margin), box.x + box.width + margin)
        view = View(
            clip=clip.frames[:, rows, columns],
            start=artifact.start,
            region=region[:, rows, columns],
            strength=artifact.strength,
            scale=clip.frames.shape[1],
            rng=rng,
        )
        for position, picture in enumerate(EFFECTS[artifact.variant](view)):
            changed[position, rows, columns] = np.clip(picture + 0.5, 0, 255)
    return add_artifact(clip, artifact, changed)


def _choose_actor(scene: Scene, artifact: Artifact, rng: np.random.Generator) -> int:
    """The number of an actor that can show the artifact, is seen for the whole time, and is large."""
    fit = [n for n, actor in enumerate(scene.actors) if artifact.label != "motion" or isinstance(actor, Figure)]
    times = np.unique(np.linspace(artifact.start, artifact.end - 1, 3).round().astype(int))
    rows, columns = artifact.box.slices() if artifact.box else (slice(None), slice(None))
    seen = scene.masks()[times, rows, columns]
    area = np.array([np.count_nonzero(seen == number + 1, axis=(1, 2)).min() for number in fit], np.float64)
    if artifact.box or not area.any():
        return fit[int(area.argmax())]
    # Larger ones are likelier, since more of the defect shows.
    return fit[int(rng.choice(len(fit), p=area / area.sum()))]


def _make_generator(seed: int, artifact: Artifact) -> np.random.Generator:
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative; give 0 or more")
    # Two artifacts of one clip take different numbers, whatever their strengths are.
    name = int.from_bytes(f"{artifact.label}/{artifact.variant}".encode()[:24], "big") % 2**31
    return np.random.default_rng((seed, name, artifact.start))
