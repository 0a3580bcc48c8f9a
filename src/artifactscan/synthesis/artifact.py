"""What is injected and what comes of it: an artifact with its place in time and picture, and the labelled clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS

Variants = Mapping[str, tuple[str, ...]]
"""Label → the forms that its artifacts take."""

MIN_FRAMES = 4
"""Frames that an artifact lasts at least: fewer are gone before anyone sees them."""
CLIP_VARIANTS: Variants = {
    "boundary": ("doubled", "melted"),
    "texture": ("boiling", "tiled", "smeared"),
    "motion": ("bent", "swapped", "frozen", "reversed"),
    "object": ("vanished", "split", "floating"),
}
"""What can be done to the frames of any clip."""
SCENE_VARIANTS: Variants = {
    "boundary": CLIP_VARIANTS["boundary"],
    "texture": CLIP_VARIANTS["texture"],
    "motion": ("bent", "swapped", "sliding", "extra"),
    "object": ("vanished", "split", "floating", "changed"),
}
"""What can be done to a drawn scene; motion and object act on its model before it is drawn."""

BOXES = pa.schema(
    [
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("x", pa.int32(), nullable=False),
        pa.field("y", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("strength", pa.float32(), nullable=False),
    ]
)
"""One row per frame and artifact that shows in it: the smallest box, in pixels from the top left corner, around all
pixels that the artifact changed."""

_MIN_SIDE = 16
"""Pixels of a clip's smaller side."""
_VISIBLE_LEVELS = 10
"""Of 255: a pixel that changed by less does not count as seen; video coding alone changes pixels by a few levels."""
_VISIBLE_SHARE = 0.0004
"""Of a frame's pixels: 103 pixels of 672 × 384; a frame in which fewer are seen to change keeps its label 0."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A place in the picture, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array (height, width, …) with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def enclosing_box(changed: np.ndarray) -> Box:
    """The smallest box around all pixels that are not 0; ``changed``: (height, width), with at least one of them."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return Box(x=int(columns[0]), y=int(rows[0]), width=int(np.ptp(columns)) + 1, height=int(np.ptp(rows)) + 1)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One artifact to inject. Raises UsageError for an unknown label, a strength outside 0..1 or too few frames."""

    label: str
    """One of LABELS."""
    variant: str
    """How it looks; see CLIP_VARIANTS and SCENE_VARIANTS."""
    start: int
    """The first frame that may change."""
    end: int
    """One past the last frame that may change."""
    strength: float = 1.0
    """0: nothing changes; 1: as bad as generated video gets. More strength is more difference."""
    box: Box | None = None
    """Where; None: a place that suits it is looked for. In a drawn scene the object there is taken."""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UsageError(f"artifact label {self.label!r} is not one of {', '.join(LABELS)}")
        known = sorted({*CLIP_VARIANTS[self.label], *SCENE_VARIANTS[self.label]})
        if self.variant not in known:
            raise UsageError(f"{self.label} variant {self.variant!r} is not one of {', '.join(known)}")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"artifact strength {self.strength} is not between 0 and 1")
        if self.start < 0 or self.end - self.start < MIN_FRAMES:
            raise UsageError(
                f"artifact frames {self.start} to {self.end} must start at 0 or later and last {MIN_FRAMES} or more"
            )

    def check_fits(self, frames: int, height: int, width: int, variants: Variants) -> None:
        """Raises UsageError where a clip of this length and size, or of this kind, cannot take it."""
        if self.end > frames:
            raise UsageError(
                f"a clip of {frames} frames cannot show an artifact in frames {self.start} to {self.end}; "
                "give a longer clip or an earlier end"
            )
        if self.variant not in variants[self.label]:
            known = ", ".join(variants[self.label])
            raise UsageError(f"{self.label} variant {self.variant!r} cannot be injected here; choose one of {known}")
        if (box := self.box) and not (
            box.width > 0 and box.height > 0 and 0 <= box.x <= width - box.width and 0 <= box.y <= height - box.height
        ):
            raise UsageError(f"artifact {box} does not lie within the frame of {width}x{height} pixels")


@dataclass(frozen=True, kw_only=True)
class SyntheticClip:
    """A clip of which it is known what is wrong with it."""

    frames: np.ndarray
    """uint8 RGB, (frames, height, width, 3)."""
    labels: np.ndarray
    """uint8, (frames, 4) in the order of LABELS: 1 where the frame visibly differs from its clean twin."""
    boxes: pa.Table
    """The BOXES schema, in order of artifact and frame."""
    artifacts: tuple[Artifact, ...] = ()
    """What was injected, in order."""


def clean_clip(frames: np.ndarray) -> SyntheticClip:
    """A clip with nothing wrong.

    ``frames``: uint8 RGB, (frames, height, width, 3), sides of at least _MIN_SIDE; UsageError for anything else.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise UsageError(f"a clip must be uint8 of shape (frames, height, width, 3), not {frames.dtype} {frames.shape}")
    if min(frames.shape[1:3]) < _MIN_SIDE:
        size = f"{frames.shape[2]}x{frames.shape[1]}"
        raise UsageError(f"a clip of {size} pixels is too small to show an artifact; give {_MIN_SIDE} each way or more")
    labels = np.zeros((len(frames), len(LABELS)), np.uint8)
    return SyntheticClip(frames=frames, labels=labels, boxes=BOXES.empty_table())


def add_artifact(clip: SyntheticClip, artifact: Artifact, changed: np.ndarray) -> SyntheticClip:
    """The clip with frames ``artifact.start`` to ``artifact.end`` replaced by ``changed``, and labelled by what shows.

    Labels and boxes are measured against the frames before: an effect that does nothing to a flat wall leaves the
    label at 0. ``changed``: uint8 RGB, (end - start, height, width, 3).
    """
    frames, labels = clip.frames.copy(), clip.labels.copy()
    frames[artifact.start : artifact.end] = changed
    rows = []
    for index in range(artifact.start, artifact.end):
        difference = np.abs(clip.frames[index].astype(np.int16) - frames[index]).max(axis=2)
        if np.count_nonzero(difference >= _VISIBLE_LEVELS) < max(1, _VISIBLE_SHARE * difference.size):
            continue
        labels[index, LABELS.index(artifact.label)] = 1
        rows.append(
            {
                "frame_index": index,
                "label": artifact.label,
                **vars(enclosing_box(difference)),
                "variant": artifact.variant,
                "strength": artifact.strength,
            }
        )
    boxes = pa.concat_tables([clip.boxes, pa.Table.from_pylist(rows, schema=BOXES)])
    return SyntheticClip(frames=frames, labels=labels, boxes=boxes, artifacts=(*clip.artifacts, artifact))
