"""Artifacts made from a clip's pixels, for clips of which nothing else is known.

Each effect yields the view's window in the frames to change, float32 RGB on the 0..255 scale, (height, width, 3).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from artifactscan.synthesis.images import blur, edge_strength, fill, gray, mix, smooth_noise, smoothstep, warp

_SMEAR_STEPS = 7
"""Samples on each side along the smear; more look the same."""
_LEAD_FRAMES = 4
"""How far before its start a frozen or reversed region begins, so that it is off from the first frame on."""
_STILL_LEVELS = 6
"""Of 255: around a hole, the mean change against the clip's median below which the camera stands still."""
_SEEN_LEVELS = 14
"""Of 255: in a hole, the mean difference from the clip's median above which the median lacks the object."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A window of a clip that stands still while the affected region may move through it."""

    clip: np.ndarray
    """uint8 RGB, (all frames, height, width, 3): the window in every frame, also before and after the artifact."""
    start: int
    """The first frame to change."""
    region: np.ndarray
    """float32 0..1, (frames to change, height, width): how far the region reaches; where it is 0 nothing changes."""
    strength: float
    """0..1."""
    scale: float
    """The height of the whole frame in pixels: lengths are shares of it, so that any size looks alike."""
    rng: np.random.Generator
    """Draws the same numbers whatever the strength is."""

    def __len__(self) -> int:
        return len(self.region)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each frame to change, float32 RGB, and its region."""
        for position, region in enumerate(self.region):
            yield self.frame(position), region

    def frame(self, position: int) -> np.ndarray:
        """The window in the frame ``start`` + ``position``, float32 RGB on the 0..255 scale."""
        return self.clip[self.start + position].astype(np.float32)

    def noise(self, *, cell: float, period: float) -> np.ndarray:
        """float32, (frames to change, height, width): see smooth_noise; ``cell`` in frame heights."""
        return smooth_noise(self.rng, *self.region.shape, cell=max(2.0, cell * self.scale), period=period)

    def progress(self) -> np.ndarray:
        """For each frame: 0 in the first, 1 from two thirds of the way on, easing in and out."""
        return smoothstep(1.5 * np.arange(len(self)) / max(1, len(self) - 1))


def _extent(region: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a region, ends exclusive; the whole window where it is empty."""
    place = ndimage.find_objects((region > 0.02).astype(np.uint8))
    rows, columns = place[0] if place else (slice(0, region.shape[0]), slice(0, region.shape[1]))
    return rows.start, rows.stop, columns.start, columns.stop


def double_outlines(view: View) -> Iterator[np.ndarray]:
    """A second outline beside the first, that sways a little; strength moves it away and makes it opaque."""
    angle, phase = view.rng.uniform(0, 2 * np.pi, 2)
    for position, (frame, region) in enumerate(view):
        sway = np.sin(phase + 0.6 * position)
        away = view.scale * (0.01 + 0.02 * view.strength) * (1 + 0.25 * sway) * np.exp(1j * (angle + 0.5 * sway))
        ghost = warp(frame, away.real, away.imag)
        opacity = 0.92 * np.sqrt(view.strength) * np.clip(1.3 * edge_strength(ghost), 0, 1)
        yield mix(frame, ghost, opacity * region)


def melt(view: View) -> Iterator[np.ndarray]:
    """Outlines run and drip like wax; strength is how far they run."""
    sideways, down = view.noise(cell=0.045, period=14), view.noise(cell=0.035, period=18)
    for position, (frame, region) in enumerate(view):
        # Only near outlines: what melts is the edge, not the surface.
        near = np.clip(2.2 * blur(edge_strength(frame), view.scale * 0.012), 0, 1) * region
        run = view.scale * 0.06 * view.strength * near
        melted = warp(frame, run * 0.8 * sideways[position], -run * (0.35 + 0.9 * down[position]))
        soft = mix(melted, blur(melted, view.scale * 0.006), 0.75 * near * view.strength)
        yield mix(frame, soft, np.minimum(1, 8 * near))


def boil(view: View) -> Iterator[np.ndarray]:
    """Fine detail is made anew in every frame, so that the surface seethes; strength is how far it is thrown."""
    # A period of a frame and a half: no two frames agree, but a little survives, as in a generator's flicker.
    across, along, speckle = (view.noise(cell=0.014, period=1.5) for _ in range(3))
    reach, cell = view.scale * 0.02 * view.strength, max(2.0, view.scale * 0.014)
    for position, (frame, region) in enumerate(view):
        thrown = warp(frame, reach * region * across[position], reach * region * along[position])
        luma = gray(thrown)
        contrast = np.clip(blur(np.abs(luma - blur(luma, cell)), 2 * cell) / 10, 0.25, 1)
        yield mix(frame, thrown + (22 * view.strength * speckle[position] * contrast)[..., None], region)


def tile(view: View) -> Iterator[np.ndarray]:
    """One small patch of the surface repeats all over it under the light of the original; strength is opacity."""
    side = max(4, round(view.scale * view.rng.uniform(0.05, 0.085)))
    shift = view.rng.uniform(-0.2, 0.2, 2)
    for frame, region in view:
        top, bottom, left, right = _extent(region)
        height, width = region.shape
        y0 = int(np.clip((top + bottom - side) / 2 + shift[0] * (bottom - top), 0, max(0, height - side)))
        x0 = int(np.clip((left + right - side) / 2 + shift[1] * (right - left), 0, max(0, width - side)))
        patch = frame[y0 : y0 + side, x0 : x0 + side]
        y, x = np.ogrid[:height, :width]
        tiles = patch[(y - y0) % patch.shape[0], (x - x0) % patch.shape[1]]
        yield mix(frame, 1.25 * (tiles - patch.mean((0, 1))) + blur(frame, side / 2), view.strength * region)


def smear(view: View) -> Iterator[np.ndarray]:
    """Detail is dragged along slow swirls until the surface is waxy; strength is how far."""
    angle, turns = view.rng.uniform(0, np.pi), view.noise(cell=0.11, period=40)
    step = view.scale * 0.055 * view.strength / _SMEAR_STEPS
    for position, (frame, region) in enumerate(view):
        direction = step * np.exp(1j * (angle + np.pi * turns[position]))
        steps = range(-_SMEAR_STEPS, _SMEAR_STEPS + 1)
        waxy = np.mean([warp(frame, k * direction.real, k * direction.imag) for k in steps], axis=0)
        yield mix(frame, waxy, np.minimum(1, 1.5 * region))


def bend(view: View) -> Iterator[np.ndarray]:
    """The upper or lower half of the region turns about its middle, at strength 1 by 100 degrees."""
    outward, sign = view.rng.choice([-1, 1], 2)
    for frame, region in view:
        top, bottom, left, right = _extent(region)
        y, x = np.ogrid[: region.shape[0], : region.shape[1]]
        middle = (left + right) / 2 + 0.5j * (top + bottom)
        place = x + 1j * y - middle
        outer = smoothstep(outward * place.imag / (0.175 * max(bottom - top, right - left)) + 0.5)
        source = middle + place * np.exp(1j * sign * np.radians(100) * view.strength * outer * region)
        yield mix(frame, warp(frame, source.real - x, source.imag - y), np.minimum(1, 6 * region))


def swap_halves(view: View) -> Iterator[np.ndarray]:
    """The upper and the lower half of the region stand in each other's place; strength is opacity."""
    for frame, region in view:
        top, bottom, _, _ = _extent(region)
        half = (bottom - top) / 2
        offset = np.arange(len(frame))[:, None] - (top + half)
        # A soft cut in the middle: limbs put elsewhere, not a picture sawn through.
        seam = smoothstep(np.abs(offset) / max(1.0, 0.16 * half))
        yield mix(frame, warp(frame, 0, -np.sign(offset) * half), view.strength * seam * np.minimum(1, 1.5 * region))


def freeze(view: View) -> Iterator[np.ndarray]:
    """The region lags behind the world around it; at strength 1 it stands still."""
    stopped = max(0, view.start - _LEAD_FRAMES)
    return _show_other_times(view, lambda position: stopped)


def reverse(view: View) -> Iterator[np.ndarray]:
    """The region runs backwards while the world goes on; strength is how much of the way back it goes."""
    # At the clip's first frame it turns and runs forwards again.
    return _show_other_times(view, lambda position: abs(max(0, view.start - _LEAD_FRAMES) - position))


def _show_other_times(view: View, source: Callable[[int], int]) -> Iterator[np.ndarray]:
    for position, (frame, region) in enumerate(view):
        time = view.start + position
        other = min(round(time + view.strength * (source(position) - time)), len(view.clip) - 1)
        yield mix(frame, view.clip[other].astype(np.float32), np.minimum(1, 1.5 * region))


def vanish(view: View) -> Iterator[np.ndarray]:
    """The object dissolves in flakes into the background; at strength 1 nothing is left of it at the end."""
    order = np.clip(0.5 + 0.5 * view.noise(cell=0.02, period=1e6)[0], 0, 1)
    backgrounds = _backgrounds(view)
    for (frame, region), background, progress in zip(view, backgrounds, view.progress(), strict=True):
        gone = view.strength * min(1, 0.35 + 1.2 * progress)
        yield mix(frame, background, smoothstep((1.5 * gone - order) / 0.5) * np.minimum(1, 2.5 * region))


def split(view: View) -> Iterator[np.ndarray]:
    """The object parts into two of itself; strength is how far they drift apart."""
    tilt = view.rng.uniform(-0.35, 0.35)
    for (frame, region), background, progress in zip(view, _backgrounds(view), view.progress(), strict=True):
        _, _, left, right = _extent(region)
        far = view.strength * 0.45 * (right - left) * (0.35 + 0.65 * progress)
        yield _place_copies(view, frame, region, background, [(-far, -far * tilt), (far, far * tilt)])


def float_up(view: View) -> Iterator[np.ndarray]:
    """The object leaves its support and hovers; strength is how high."""
    for (frame, region), background, progress in zip(view, _backgrounds(view), view.progress(), strict=True):
        top, bottom, _, _ = _extent(region)
        high = view.strength * 0.5 * (bottom - top) * (0.35 + 0.65 * progress)
        yield _place_copies(view, frame, region, background, [(0.15 * high, -high)])


def _place_copies(
    view: View, frame: np.ndarray, region: np.ndarray, background: np.ndarray, shifts: list[tuple[float, float]]
) -> np.ndarray:
    """The frame with its object taken away, and put where each shift (dx, dy in pixels) says."""
    difference = blur(np.abs(frame - background).mean(axis=2), view.scale * 0.008)
    solid = np.clip(1.8 * blur(smoothstep((difference - 7) / 10), view.scale * 0.008), 0, 1)
    shape = solid * np.minimum(1, 2 * region)
    picture = mix(frame, background, np.minimum(1, 1.6 * shape))
    for dx, dy in shifts:
        # Beyond the window's edges the shape is 0.
        moved = ndimage.shift(shape, (dy, dx), order=1)
        picture = mix(picture, warp(frame, -dx, -dy), moved)
    return picture


def _backgrounds(view: View) -> Iterator[np.ndarray]:
    """The window in each frame without the object, float32 RGB: what is behind it, or else what looks like it.

    The clip's median where the camera stands still and the object does not; else the neighbouring piece of picture
    that agrees best around the object; else its surroundings, spread over it.
    """
    median = np.median(view.clip[:: max(1, len(view.clip) // 15)], axis=0).astype(np.float32)
    frame, region = view.frame(len(view) // 2), view.region[len(view) // 2]
    change, hole, outside = np.abs(frame - median).mean(axis=2), region > 0.5, region <= 0.02
    known = hole.any() and outside.any() and np.median(change[outside]) < _STILL_LEVELS
    known = known and change[hole].mean() > _SEEN_LEVELS
    shift = None if known else _neighbour_shift(frame, region)
    for frame, region in view:
        if known:
            yield median
        elif shift is None:
            yield fill(frame, region > 0.02)
        else:
            neighbour = np.roll(frame, shift, axis=(0, 1))
            # Seamless cloning: the difference around the hole, spread smoothly over it, takes away the seam.
            yield neighbour + fill(blur(frame - neighbour, 1.5), region > 0.02)


def _neighbour_shift(frame: np.ndarray, region: np.ndarray) -> tuple[int, int] | None:
    """The shift (rows, columns) that brings a piece of picture into the region whose surroundings agree best."""
    top, bottom, left, right = _extent(region)
    height, width = bottom - top, right - left
    rim = np.logical_and(ndimage.binary_dilation(region > 0.02, iterations=3), region <= 0.02)

    def disagreement(shift: tuple[int, int]) -> float:
        difference = (frame - np.roll(frame, shift, axis=(0, 1)))[rim]
        return float(np.abs(difference - difference.mean(axis=0)).mean())

    within = [
        (rows, columns)
        for rows, columns in ((height, 0), (-height, 0), (0, width), (0, -width))
        if rows <= top and bottom - rows <= len(frame) and columns <= left and right - columns <= frame.shape[1]
    ]
    return min(within, key=disagreement, default=None) if rim.any() else None


EFFECTS: dict[str, Callable[[View], Iterator[np.ndarray]]] = {
    "doubled": double_outlines,
    "melted": melt,
    "boiling": boil,
    "tiled": tile,
    "smeared": smear,
    "bent": bend,
    "swapped": swap_halves,
    "frozen": freeze,
    "reversed": reverse,
    "vanished": vanish,
    "split": split,
    "floating": float_up,
}
"""Variant → effect."""
