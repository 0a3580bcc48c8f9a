"""The drawing kit: patterned surfaces, and parts (limbs, ellipses, boxes) with smooth edges, lit from one side."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from artifactscan.synthesis.images import fraction, sample

PATTERN_SIDE = 128
"""Pixels."""
_LIGHT = -0.6 - 0.8j
"""Where the light comes from: left and above, length 1."""

LAYOUTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda x, y: np.zeros(np.broadcast_shapes(x.shape, y.shape)),
    "stripes": lambda x, y: (fraction(y) < 0.4) + 0 * x,
    "checks": lambda x, y: (fraction(x) < 0.5) != (fraction(y) < 0.5),
    "dots": lambda x, y: np.hypot(np.sin(np.pi * x), np.sin(np.pi * y)) < 0.45,
    "bricks": lambda x, y: (fraction(2 * y) < 0.12) | (fraction(x + fraction(np.floor(2 * y) / 2)) < 0.06),
    "planks": lambda x, y: (fraction(y) < 0.08) | (fraction(x / 3 + np.floor(y) * 0.4) < 0.015),
    "slabs": lambda x, y: (fraction(x) < 0.04) | (fraction(y) < 0.04),
}
"""Name → where a surface shows its second colour; x and y in repetitions."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A surface: a picture that repeats in both directions without a seam."""

    picture: np.ndarray
    """float32 RGB on the 0..255 scale, (PATTERN_SIDE, PATTERN_SIDE, 3)."""
    extent: float
    """Frame heights that one repetition covers."""

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """float32 RGB, (…, 3), at places in frame heights."""
        factor = PATTERN_SIDE / self.extent
        return sample(self.picture, x * factor, y * factor, repeat=True)


def random_pattern(
    rng: np.random.Generator,
    colour: np.ndarray | tuple[int, int, int],
    layout: str = "plain",
    second: np.ndarray | tuple[int, int, int] | None = None,
    *,
    uneven: float = 0.06,
    extent: float = 0.25,
) -> Pattern:
    """A surface in two colours (RGB, 0..255) and a layout of LAYOUTS; ``uneven``: deviation of its brightness."""
    count = int(rng.integers(3, 7))
    y, x = (axis * count / PATTERN_SIDE for axis in np.ogrid[:PATTERN_SIDE, :PATTERN_SIDE])
    share = ndimage.gaussian_filter(LAYOUTS[layout](x, y).astype(np.float64), 0.7, mode="wrap")[..., None]
    first = np.asarray(colour, np.float64)
    other = random_colour(rng) if second is None else np.asarray(second, np.float64)
    if np.abs(other - first).max() < 60:
        other = 255 - first
    light = 1 + uneven * (periodic_noise(rng, 9) + 0.5 * periodic_noise(rng, 1))[..., None]
    return Pattern(np.clip((first + (other - first) * share) * light, 0, 255).astype(np.float32), extent)


def random_colour(
    rng: np.random.Generator, *, saturation: float = 0.8, value: tuple[float, float] = (60, 235)
) -> np.ndarray:
    """RGB on the 0..255 scale; ``saturation`` 0..1 is the most it may have."""
    wheel = 0.5 + 0.5 * np.cos(rng.uniform(0, 2 * np.pi) + np.array([0.0, 2.1, 4.2]))
    strength = saturation * rng.uniform(0.2, 1.0)
    return rng.uniform(*value) * (1 - strength + strength * wheel)


def periodic_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Noise of deviation 1 that repeats without a seam, (PATTERN_SIDE, PATTERN_SIDE); ``sigma``: pixels of a grain."""
    field = ndimage.gaussian_filter(rng.normal(size=(PATTERN_SIDE, PATTERN_SIDE)), sigma, mode="wrap")
    return field / field.std()


_BLACK = Pattern(np.zeros((PATTERN_SIDE, PATTERN_SIDE, 3), np.float32), 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """One piece of an object. Places are complex numbers: x to the right + y down · i, in frame heights."""

    shape: Literal["capsule", "ellipse", "box"]
    centre: complex
    along: complex
    """From the centre to the end of the part, on its long axis; its angle turns the pattern too."""
    half_width: float
    """In frame heights, across; a capsule's is at the near end."""
    pattern: Pattern
    taper: float = 1.0
    """Capsules only: half width at the far end over that at the near end."""
    shade: float = 1.0
    """Brightness: 0.7 for what is on the far side."""
    opacity: float = 1.0
    gloss: float = 0.35
    """How strongly the form is modelled by light; 0 is flat."""

    def moved(self, by: complex) -> "Part":
        return replace(self, centre=self.centre + by)

    def turned(self, pivot: complex, factor: complex) -> "Part":
        """Turned and scaled about a point by a complex factor."""
        return replace(
            self,
            centre=pivot + (self.centre - pivot) * factor,
            along=self.along * factor,
            half_width=self.half_width * abs(factor),
        )


def make_limb(start: complex, end: complex, width: float, pattern: Pattern, taper: float = 0.8, shade=1.0) -> Part:
    """A capsule from joint to joint; ``width`` is its half width at the start."""
    return Part(
        shape="capsule",
        centre=(start + end) / 2,
        along=(end - start) / 2,
        half_width=width,
        pattern=pattern,
        taper=taper,
        shade=shade,
    )


def draw_parts(
    canvas: np.ndarray, parts: Iterable[Part], camera: complex, scale: float, owners: np.ndarray | None = None, owner=0
) -> None:
    """Draws parts in order onto ``canvas`` (float32 RGB 0..255, (height, width, 3)), in place.

    ``camera``: the place at the canvas' top left corner. ``scale``: pixels per frame height. ``owners``, uint8
    (height, width), takes the number ``owner`` where a part covers half a pixel or more.
    """
    for part in parts:
        centre, length = (part.centre - camera) * scale, max(abs(part.along) * scale, 1e-3)
        axis, thick = part.along / max(abs(part.along), 1e-9), part.half_width * scale
        margin = thick * max(1.0, part.taper) + 2
        rows = _clip_range(centre.imag, abs(axis.imag) * length + margin, canvas.shape[0])
        columns = _clip_range(centre.real, abs(axis.real) * length + margin, canvas.shape[1])
        y, x = np.ogrid[rows, columns]
        if not x.size or not y.size or part.opacity <= 0:
            continue
        # Real: along the part; imaginary: across it. Both in pixels from its centre.
        place = (((x + 0.5) + 1j * (y + 0.5) - centre) * np.conj(axis)).astype(np.complex64)
        distance, lean = _outline(part, place.real, place.imag, length, thick)
        cover = np.clip(0.5 - distance, 0, 1) * part.opacity
        inside = cover > 0
        place, lean = place[inside], lean[inside]
        colour = part.shade * part.pattern.at(place.real / scale, place.imag / scale)
        # Light by how far the surface leans towards the lamp.
        towards = (lean * (axis * np.conj(_LIGHT))).real - 0.25 * np.abs(lean) ** 2
        colour *= (1 + part.gloss * towards).astype(np.float32)[:, None]
        patch = canvas[rows, columns]
        old = patch[inside]
        patch[inside] = old + (np.minimum(colour, 255) - old) * cover[inside].astype(np.float32)[:, None]
        if owners is not None:
            owners[rows, columns][cover >= 0.5] = owner


def make_shadow(centre: complex, half_length: float) -> Part:
    """A flat shadow on the ground."""
    # Covering less than half, it never owns a pixel.
    size = {"along": half_length + 0j, "half_width": 0.22 * half_length}
    return Part(shape="ellipse", centre=centre, **size, pattern=_BLACK, opacity=0.4, gloss=0)


def _outline(part: Part, u: np.ndarray, v: np.ndarray, length: float, thick: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the outline in pixels, below 0 inside; and how far the surface leans along + across · i, to 1."""
    if part.shape == "capsule":
        radius = thick * (1 + (part.taper - 1) * np.clip((u / length + 1) / 2, 0, 1))
        beyond = u - np.clip(u, -length, length)
        return np.hypot(beyond, v) - radius, (beyond + 1j * v) / radius
    lean = u / length + 1j * (v / thick)
    if part.shape == "ellipse":
        return (np.abs(lean) - 1) * min(length, thick), lean
    return np.maximum(np.abs(u) - length, np.abs(v) - thick), 0.4 * lean


def _clip_range(middle: float, reach: float, size: int) -> slice:
    """The pixels within ``reach`` of a place, of those that there are."""
    return slice(int(np.clip(middle - reach, 0, size)), int(np.clip(middle + reach + 1, 0, size)))
