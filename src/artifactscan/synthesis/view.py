"""What an effect on pixels gets to see and hands back: a window of the clip and how much of each pixel is its."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class View:
    """A window of a clip that stands still while the affected region may move through it."""

    clip: np.ndarray
    """uint8 RGB, (all frames, height, width, 3): the window in every frame, also before and after the artifact."""
    start: int
    """The first frame to change."""
    region: np.ndarray
    """float32 0..1, (frames to change, height, width): how far the region reaches; 0 means hands off."""
    strength: float
    """0..1."""
    scale: float
    """The height of the whole frame in pixels: lengths are shares of it, so that any size looks alike."""
    rng: np.random.Generator
    """Draws the same numbers whatever the strength is."""

    def __len__(self) -> int:
        return len(self.region)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window in pixels."""
        return self.region.shape[1], self.region.shape[2]

    def frame(self, position: int) -> np.ndarray:
        """The window in the frame ``start`` + ``position``, float32 RGB on the 0..255 scale."""
        return self.clip[self.start + position].astype(np.float32)

    def centre(self, position: int) -> tuple[float, float]:
        """Column and row of the middle of the region's box."""
        top, bottom, left, right = self.extent(position)
        return (left + right) / 2, (top + bottom) / 2

    def extent(self, position: int) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of the region, ends exclusive; the whole window where it is empty."""
        inside = self.region[position] > 0.02
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not rows.size:
            return 0, self.shape[0], 0, self.shape[1]
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


Effect = Callable[[View], np.ndarray]
"""Returns the window in the frames to change: float32 RGB on the 0..255 scale, (frames, height, width, 3)."""


def mix(old: np.ndarray, new: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``new`` where ``share`` (height, width) is 1, ``old`` where it is 0; exactly ``old`` there."""
    return old + (new - old) * share[..., None]
