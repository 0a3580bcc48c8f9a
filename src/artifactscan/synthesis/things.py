"""Object artifacts on pixels of real footage: what is in the region vanishes, splits in two, or floats away."""

import numpy as np

from artifactscan.synthesis.images import blur, ease, fill, smooth_noise, smoothstep
from artifactscan.synthesis.view import Effect, View, mix

_STILL_LEVELS = 6
"""Of 255: around a hole, the mean change against the clip's median below which the camera stands still."""
_SEEN_LEVELS = 14
"""Of 255: in a hole, the mean difference from the clip's median above which the median lacks the object."""


def vanished(view: View) -> np.ndarray:
    """The object dissolves in flakes into the background; at strength 1 nothing is left of it at the end."""
    flakes = smooth_noise(view.rng, 1, *view.shape, cell=view.scale * 0.02, period=1)[0]
    order = np.clip(0.5 + 0.5 * flakes, 0, 1)
    background = _Background(view)
    out = []
    for position, region in enumerate(view.region):
        gone = view.strength * min(1, 0.35 + 1.2 * _progress(view, position))
        share = smoothstep((1.5 * gone - order) / 0.5)
        out.append(mix(view.frame(position), background.behind(position), share * np.minimum(1, 2.5 * region)))
    return np.stack(out)


def split(view: View) -> np.ndarray:
    """The object parts into two of itself; strength is how far they drift apart."""
    tilt = view.rng.uniform(-0.35, 0.35)
    background = _Background(view)
    out = []
    for position in range(len(view)):
        _, _, left, right = view.extent(position)
        far = view.strength * 0.45 * (right - left) * (0.35 + 0.65 * _progress(view, position))
        thing, shape = background.object_alone(position)
        picture = background.without(position, shape)
        for side in (-1, 1):
            picture = _paste(picture, thing, shape, side * far, side * far * tilt)
        out.append(_kept_where_weak(view, position, picture))
    return np.stack(out)


def floating(view: View) -> np.ndarray:
    """The object leaves its support and hovers; strength is how high."""
    phase = view.rng.uniform(0, 2 * np.pi)
    background = _Background(view)
    out = []
    for position in range(len(view)):
        top, bottom, _, _ = view.extent(position)
        progress = _progress(view, position)
        bob = 1 + 0.15 * np.sin(phase + 4 * progress)
        high = view.strength * 0.5 * (bottom - top) * (0.35 + 0.65 * progress) * bob
        thing, shape = background.object_alone(position)
        picture = background.without(position, shape)
        out.append(_kept_where_weak(view, position, _paste(picture, thing, shape, 0.15 * high, -high)))
    return np.stack(out)


def _progress(view: View, position: int) -> float:
    """0 in the first frame, 1 from two thirds of the way on, easing in and out."""
    return ease(1.5 * position / max(1, len(view) - 1))


def _paste(picture: np.ndarray, thing: np.ndarray, shape: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """``thing`` moved by whole pixels over ``picture``; what leaves the window is lost."""
    dx, dy = round(dx), round(dy)
    height, width = shape.shape
    out = picture.copy()
    to = (slice(max(0, dy), max(0, height + min(0, dy))), slice(max(0, dx), max(0, width + min(0, dx))))
    source = (slice(max(0, -dy), max(0, height - max(0, dy))), slice(max(0, -dx), max(0, width - max(0, dx))))
    out[to] = mix(out[to], thing[source], shape[source])
    return out


def _kept_where_weak(view: View, position: int, picture: np.ndarray) -> np.ndarray:
    """At strength 0 exactly the frame; from a fifth on exactly ``picture``."""
    return mix(view.frame(position), picture, np.full(view.shape, min(1.0, 5 * view.strength), np.float32))


class _Background:
    """What is behind the region: the clip's median where the camera stands still and the object does not, else a
    neighbouring piece of picture, fitted in so that its rim agrees."""

    def __init__(self, view: View):
        self.view = view
        self._median = self._clip_median()
        self._offset = None if self._median is not None else self._best_neighbour()

    def behind(self, position: int) -> np.ndarray:
        """float32 RGB, (height, width, 3): the window without the object."""
        frame, hole = self.view.frame(position), self.view.region[position]
        known = (hole <= 0.02).astype(np.float32)
        if self._median is not None:
            source = self._median
        elif self._offset is not None:
            source = np.roll(frame, self._offset, axis=(0, 1))
        else:
            return fill(frame, known)
        # Seamless cloning: the rim's difference, spread smoothly over the hole, takes away the seam.
        difference = blur(frame - source, 1.5)
        if self._median is not None:
            # Of a still camera only the light changes; more is another object at the rim.
            difference = np.clip(difference, -_STILL_LEVELS, _STILL_LEVELS)
        return source + fill(difference, known)

    def without(self, position: int, shape: np.ndarray) -> np.ndarray:
        """The frame with the background in place of what ``shape`` covers."""
        return mix(self.view.frame(position), self.behind(position), np.minimum(1, 1.6 * shape))

    def object_alone(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """The frame, and how much of each pixel is the object's: float32 0..1, (height, width)."""
        frame, region = self.view.frame(position), self.view.region[position]
        difference = np.abs(frame - self.behind(position)).mean(axis=2)
        core = smoothstep((blur(difference, self.view.scale * 0.008) - 7) / 10)
        solid = np.clip(1.8 * blur(core, self.view.scale * 0.008), 0, 1)
        return frame, (solid * np.minimum(1, 2 * region)).astype(np.float32)

    def _clip_median(self) -> np.ndarray | None:
        view = self.view
        every = max(1, len(view.clip) // 15)
        median = np.median(view.clip[::every], axis=0).astype(np.float32)
        middle = len(view) // 2
        difference = np.abs(view.frame(middle) - median).mean(axis=2)
        hole = view.region[middle] > 0.5
        if not hole.any() or hole.all():
            return None
        outside = view.region[middle] <= 0.02
        still = outside.any() and np.median(difference[outside]) < _STILL_LEVELS
        return median if still and difference[hole].mean() > _SEEN_LEVELS else None

    def _best_neighbour(self) -> tuple[int, int] | None:
        """The shift (rows, columns) that brings a piece of picture into the hole whose surroundings agree best."""
        view = self.view
        middle = len(view) // 2
        frame, region = view.frame(middle), view.region[middle]
        top, bottom, left, right = view.extent(middle)
        height, width = bottom - top, right - left
        rim = _rim(region, max(2, round(0.02 * view.scale)))
        best, least = None, np.inf
        for rows, columns in (
            (rows * height, columns * width)
            for rows in (-1.0, -0.5, 0.0, 0.5, 1.0)
            for columns in (-1.0, -0.5, 0.0, 0.5, 1.0)
            if max(abs(rows), abs(columns)) == 1
        ):
            rows, columns = round(rows), round(columns)
            if top < rows or bottom - rows > view.shape[0]:
                continue
            if left < columns or right - columns > view.shape[1]:
                continue
            difference = (frame - np.roll(frame, (rows, columns), axis=(0, 1)))[rim]
            cost = np.abs(difference - difference.mean(0)).mean() if len(difference) else np.inf
            if cost < least:
                best, least = (rows, columns), cost
        return best


def _rim(region: np.ndarray, width: int) -> np.ndarray:
    """The pixels just outside the region: bool, (height, width)."""
    inside = (region > 0.02).astype(np.float32)
    return (blur(inside, width / 2) > 0.02) & (inside == 0)


EFFECTS: dict[str, Effect] = {"vanished": vanished, "split": split, "floating": floating}
"""Variant → effect."""
