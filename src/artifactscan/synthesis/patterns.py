"""Surfaces for drawn scenes: small pictures that repeat without a seam, made from random numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIDE = 128
"""Pixels of a pattern's side."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A picture that repeats in both directions, and how large it is in the scene."""

    picture: np.ndarray
    """float32 RGB on the 0..255 scale, (SIDE, SIDE, 3)."""
    extent: float
    """Frame heights that one repetition covers."""


def cloth(rng: np.random.Generator, colour: np.ndarray) -> Pattern:
    """Clothing: plain, striped, checked or dotted, with folds and weave."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    other = _other_colour(rng, colour)
    count = int(rng.integers(3, 8))
    pick = rng.choice(["plain", "plain", "stripes", "checks", "dots", "bands"])
    share = {
        "plain": np.zeros((SIDE, SIDE)),
        "stripes": (np.sin(2 * np.pi * count * x) > 0.2) * 1.0,
        "bands": (np.sin(2 * np.pi * count * y) > 0.2) * 1.0,
        "checks": ((np.sin(2 * np.pi * count * x) > 0) + (np.sin(2 * np.pi * count * y) > 0)) / 2.0,
        "dots": (np.hypot(np.sin(np.pi * count * x), np.sin(np.pi * count * y)) < 0.45) * 1.0,
    }[str(pick)]
    picture = colour + (other - colour) * share[..., None]
    picture = picture * (1 + 0.10 * _noise(rng, 1.6)[..., None]) + 4 * rng.normal(size=(SIDE, SIDE, 1))
    return _pattern(picture, rng.uniform(0.18, 0.3))


def skin(rng: np.random.Generator) -> Pattern:
    """One of many skin colours, with a little unevenness."""
    light, dark = np.array([238, 200, 172]), np.array([88, 56, 40])
    colour = dark + (light - dark) * rng.uniform(0.05, 1.0)
    return _pattern(colour * (1 + 0.05 * _noise(rng, 1.5)[..., None]) + rng.normal(size=(SIDE, SIDE, 1)), 0.2)


def plain(rng: np.random.Generator, colour: np.ndarray, *, uneven: float = 0.08) -> Pattern:
    """Paint, leather, hair: one colour, slightly uneven."""
    return _pattern(colour * (1 + uneven * _noise(rng, 1.3)[..., None]) + 2 * rng.normal(size=(SIDE, SIDE, 1)), 0.25)


def planks(rng: np.random.Generator) -> Pattern:
    """Boards with grain and dark joints."""
    boards = int(rng.integers(3, 6))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    board = (y * boards).astype(int) % boards
    tone = 1 + 0.14 * rng.uniform(-1, 1, boards)[board]
    grain = 0.10 * np.sin(2 * np.pi * (rng.integers(9, 16) * y + 0.35 * _noise(rng, 2.2)))
    joint = 1 - 0.55 * np.exp(-(((y * boards) % 1 - 0.02) ** 2) / 0.0015)
    staggered = (x + board * 0.37) % 1
    joint = joint * (1 - 0.5 * np.exp(-((staggered - 0.5) ** 2) / 0.00006))
    colour = np.array([150, 104, 62]) * rng.uniform(0.6, 1.3) * rng.uniform(0.9, 1.1, 3)
    return _pattern(colour * (tone * (1 + grain) * joint)[..., None] + 3 * rng.normal(size=(SIDE, SIDE, 1)), 0.45)


def bricks(rng: np.random.Generator) -> Pattern:
    """Courses of brick with mortar."""
    courses, across = int(rng.choice([6, 8])), int(rng.choice([3, 4]))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    course = (y * courses).astype(int)
    shifted = (x * across + 0.5 * (course % 2)) % across
    brick = shifted.astype(int)
    tone = 1 + 0.16 * rng.uniform(-1, 1, (courses, across))[course, brick]
    inside = np.minimum(
        np.minimum((y * courses) % 1, 1 - (y * courses) % 1) * 1.0, 2 * np.minimum(shifted % 1, 1 - shifted % 1)
    )
    mortar = np.clip((inside - 0.06) / 0.08, 0, 1)[..., None]
    colour = np.array([156, 82, 62]) * rng.uniform(0.7, 1.2) * rng.uniform(0.85, 1.15, 3)
    picture = np.array([188, 180, 170]) * (1 - mortar) + colour * tone[..., None] * mortar
    return _pattern(picture * (1 + 0.10 * _noise(rng, 1.0)[..., None]), rng.uniform(0.35, 0.55))


def grass(rng: np.random.Generator) -> Pattern:
    """Ground cover: grass, earth or sand by its colour."""
    colour = np.array([[86, 124, 52], [118, 98, 66], [190, 170, 128], [70, 104, 60]])[rng.integers(4)]
    fine, coarse = _noise(rng, 0.6), _noise(rng, 1.6)
    return _pattern(colour * (1 + 0.22 * fine + 0.14 * coarse)[..., None] * rng.uniform(0.85, 1.15, 3), 0.5)


def paving(rng: np.random.Generator) -> Pattern:
    """Asphalt or slabs."""
    grey = rng.uniform(90, 170) * rng.uniform(0.95, 1.05, 3)
    picture = grey * (1 + 0.12 * _noise(rng, 0.4)[..., None] + 0.08 * _noise(rng, 1.7)[..., None])
    if rng.random() < 0.6:
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
        slabs = int(rng.integers(2, 4))
        gap = np.minimum(np.abs((x * slabs) % 1 - 0.5), np.abs((y * slabs) % 1 - 0.5))
        picture = picture * (1 - 0.35 * np.exp(-(gap**2) / 0.0005))[..., None]
    return _pattern(picture, 0.6)


def plaster(rng: np.random.Generator) -> Pattern:
    """A painted wall, sometimes papered with figures."""
    colour = random_colour(rng, saturation=0.35, value=(120, 215))
    picture = colour * (1 + 0.06 * _noise(rng, 1.6)[..., None] + 0.03 * _noise(rng, 0.4)[..., None])
    if rng.random() < 0.45:
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
        count = int(rng.integers(3, 6))
        figure = np.sin(2 * np.pi * count * x) * np.sin(2 * np.pi * count * y) > rng.uniform(0.2, 0.6)
        picture = picture + (_other_colour(rng, colour) - colour) * 0.4 * figure[..., None]
    return _pattern(picture, rng.uniform(0.3, 0.5))


def foliage(rng: np.random.Generator) -> Pattern:
    """Leaves in light and shade."""
    clumps, leaves = _noise(rng, 1.5), _noise(rng, 0.9)
    light = np.clip(0.62 + 0.25 * clumps + 0.3 * leaves, 0.15, 1.4)
    return _pattern(np.array([84, 128, 50]) * rng.uniform(0.8, 1.2, 3) * light[..., None], 0.35)


def beach_ball(rng: np.random.Generator) -> Pattern:
    """Sectors and bands of a few colours: what turns with a ball can be seen to turn."""
    colours = np.stack([random_colour(rng) for _ in range(3)])
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    bands = int(rng.integers(2, 4))
    index = ((x * bands * 2).astype(int) + (y * bands * 2).astype(int) * int(rng.integers(0, 2))) % 3
    return _pattern(colours[index] * (1 + 0.05 * _noise(rng, 1.2)[..., None]), rng.uniform(0.12, 0.22))


def random_colour(
    rng: np.random.Generator, *, saturation: float = 0.8, value: tuple[float, float] = (60, 235)
) -> np.ndarray:
    """RGB on the 0..255 scale; ``saturation`` 0..1 is the most it may have."""
    hue = rng.uniform(0, 2 * np.pi)
    wheel = 0.5 + 0.5 * np.cos(hue + np.array([0.0, 2.1, 4.2]))
    strength = saturation * rng.uniform(0.2, 1.0)
    return rng.uniform(*value) * (1 - strength + strength * wheel)


PatternMaker = Callable[[np.random.Generator], Pattern]
WALLS: tuple[PatternMaker, ...] = (bricks, plaster, plaster, planks)
"""What may be behind."""
GROUNDS: tuple[PatternMaker, ...] = (grass, grass, paving, planks)
"""What may be underfoot."""


def _other_colour(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    other = random_colour(rng)
    return other if np.abs(other - colour).max() > 60 else 255 - colour


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Periodic noise with amplitude ∝ 1 / frequency^exponent, deviation 1: (SIDE, SIDE)."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]) * SIDE
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / np.maximum(frequency, 1) ** exponent
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return field / field.std()


def _pattern(picture: np.ndarray, extent: float) -> Pattern:
    return Pattern(np.clip(picture, 0, 255).astype(np.float32), float(extent))
