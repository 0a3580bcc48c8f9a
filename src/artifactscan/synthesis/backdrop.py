"""What is behind and below the actors of a scene: a sky and houses, or a wall; and a ground."""

from dataclasses import dataclass

import numpy as np

from artifactscan.synthesis.drawing import (
    PATTERN_SIDE,
    Part,
    Pattern,
    draw_parts,
    periodic_noise,
    random_colour,
    random_pattern,
)
from artifactscan.synthesis.images import mix, sample

_SKIES = ((96, 146, 214), (150, 160, 176), (210, 150, 120), (70, 90, 150))
_GRASS = ((86, 124, 52), (70, 104, 60), (118, 98, 66), (190, 170, 128))
_BRICK, _MORTAR, _WOOD, _JOINT, _GLASS = (156, 82, 62), (188, 180, 170), (150, 104, 62), (70, 48, 30), (70, 86, 104)


@dataclass(frozen=True, eq=False, kw_only=True)
class Backdrop:
    """A picture wider than the frame, that the camera pans over."""

    picture: np.ndarray
    """float32 RGB on the 0..255 scale, (height + 2 · margin, width + 2 · margin, 3)."""
    margin: int
    """Pixels on each side that the camera may move."""
    horizon: float
    """Frame heights from the top: where the ground begins."""
    outdoors: bool

    def seen(self, camera: complex, height: int, width: int) -> np.ndarray:
        """float32 RGB, (height, width, 3): the part that a camera at ``camera`` (frame heights) sees."""
        y, x = self.margin + camera.imag * height, self.margin + camera.real * height
        top, left = int(y), int(x)
        crop = self.picture[top : top + height + 1, left : left + width + 1]
        rows = crop[:-1] + (crop[1:] - crop[:-1]) * np.float32(y - top)
        return rows[:, :-1] + (rows[:, 1:] - rows[:, :-1]) * np.float32(x - left)


def random_backdrop(rng: np.random.Generator, height: int, width: int, *, reach: float) -> Backdrop:
    """A backdrop for frames of that size in pixels; ``reach``: frame heights that the camera may move to each side."""
    margin = int(np.ceil(reach * height)) + 2
    # Everything is placed in frame heights from the frame's own corner, so that any size shows the same.
    y = ((np.arange(height + 2 * margin, dtype=np.float32) - margin) / height)[:, None]
    x = ((np.arange(width + 2 * margin, dtype=np.float32) - margin) / height)[None, :]
    left, right = -reach, width / height + reach
    horizon, outdoors = float(rng.uniform(0.48, 0.68)), bool(rng.random() < 0.6)
    if outdoors:
        picture = _paint_sky(rng, x, y, horizon)
        draw_parts(picture, _random_houses(rng, left, right, horizon), -(1 + 1j) * margin / height, height)
    else:
        colour, layout = random_colour(rng, saturation=0.35, value=(120, 215)), str(rng.choice(["bricks", "dots"]))
        picture = random_pattern(rng, colour, layout, extent=0.6).at(x, y)
    _lay_ground(rng, picture, x, y, horizon, outdoors=outdoors)
    # Light falls off to one side.
    fall = 1 + float(rng.choice([-0.12, 0.12])) * (2 * (x - left) / (right - left) - 1)
    picture = np.clip(picture * fall[..., None], 0, 255)
    return Backdrop(picture=picture, margin=margin, horizon=horizon, outdoors=outdoors)


def _paint_sky(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, horizon: float) -> np.ndarray:
    top = np.array(_SKIES[rng.integers(len(_SKIES))], np.float32)
    low = top + (255 - top) * np.float32(rng.uniform(0.35, 0.7))
    clouds = sample(periodic_noise(rng, 7), x * PATTERN_SIDE / 1.6, y * PATTERN_SIDE / 0.8, repeat=True)
    sky = top + (low - top) * np.clip(y / horizon, 0, 1)[..., None]
    return mix(sky, np.full_like(sky, 245), np.clip(0.5 * clouds - rng.uniform(0, 0.3), 0, 0.7))


def _random_houses(rng: np.random.Generator, left: float, right: float, horizon: float) -> list[Part]:
    glass, parts = random_pattern(rng, _GLASS, uneven=0.1), []
    while left < right:
        half, high = float(rng.uniform(0.14, 0.26)), float(rng.uniform(0.25, 0.45))
        colour, layout = (_BRICK, "bricks") if rng.random() < 0.5 else (random_colour(rng, saturation=0.4), "plain")
        wall = random_pattern(rng, colour, layout, _MORTAR, extent=0.45)
        parts.append(_make_panel(left + half, horizon - high / 2, half, high / 2, wall))
        columns, floors = int(rng.integers(2, 4)), int(rng.integers(2, 4))
        for column in range(columns):
            for floor in range(floors):
                x, y = left + 2 * half * (column + 0.5) / columns, horizon - high * (floor + 0.55) / floors
                parts.append(_make_panel(x, y, 0.032, 0.042, glass))
        left += 2 * half + float(rng.choice([0.0, 0.08]))
    return parts


def _make_panel(x: float, y: float, half: float, high: float, pattern: Pattern) -> Part:
    return Part(shape="box", centre=complex(x, y), along=half + 0j, half_width=high, pattern=pattern, gloss=0.05)


def _lay_ground(
    rng: np.random.Generator, picture: np.ndarray, x: np.ndarray, y: np.ndarray, horizon: float, *, outdoors: bool
) -> None:
    """Covers everything below the horizon with a ground in perspective, in place."""
    grass = (_GRASS[rng.integers(len(_GRASS))], "plain", None)
    paved = (np.full(3, rng.uniform(90, 170)), "slabs", np.full(3, 60.0))
    kinds = (grass, grass, paved) if outdoors else (paved, (_WOOD, "planks", _JOINT))
    ground = random_pattern(rng, *kinds[rng.integers(len(kinds))], uneven=0.1, extent=0.6)
    below = y[:, 0] >= horizon
    depth = 0.35 / (y[below] - horizon + 0.06)
    far = np.clip((depth - 1.2) / 4, 0, 1)[..., None]
    laid = ground.at((x - x.mean()) * depth, 1.2 * depth)
    # Far off, detail is finer than a pixel and would crawl: its mean colour.
    picture[below] = laid + (ground.picture.mean((0, 1)) - laid) * far
