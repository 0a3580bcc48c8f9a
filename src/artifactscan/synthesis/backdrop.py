"""What is behind and below the objects of a scene: a sky with hills or houses, or a wall, and a ground."""

from dataclasses import dataclass

import numpy as np

from artifactscan.synthesis.drawing import Part, draw_parts
from artifactscan.synthesis.images import blur, sample
from artifactscan.synthesis.patterns import GROUNDS, SIDE, WALLS, Pattern, foliage, grass, plain, random_colour


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
    """Whether cars and trees belong here."""

    def seen(self, camera: complex, height: int, width: int) -> np.ndarray:
        """float32 RGB, (height, width, 3): the part that a camera at ``camera`` (frame heights) sees."""
        y = np.arange(height) + self.margin + camera.imag * height
        x = np.arange(width) + self.margin + camera.real * height
        top, left = int(np.floor(y[0])), int(np.floor(x[0]))
        fy, fx = np.float32(y[0] - top), np.float32(x[0] - left)
        top, left = int(np.clip(top, 0, 2 * self.margin - 1)), int(np.clip(left, 0, 2 * self.margin - 1))
        crop = self.picture[top : top + height + 1, left : left + width + 1]
        rows = crop[:-1] * (1 - fy) + crop[1:] * fy
        return rows[:, :-1] * (1 - fx) + rows[:, 1:] * fx


def random_backdrop(rng: np.random.Generator, height: int, width: int, *, reach: float) -> Backdrop:
    """A backdrop for frames of that size; ``reach``: frame heights that the camera may move to each side."""
    margin = int(np.ceil(reach * height)) + 2
    # Everything is placed in frame heights from the frame's own corner, so that any size shows the same.
    across = (-reach, width / height + reach)
    rows, columns = height + 2 * margin, width + 2 * margin
    horizon = float(rng.uniform(0.48, 0.68))
    outdoors = bool(rng.random() < 0.6)
    picture = np.empty((rows, columns, 3), np.float32)
    if outdoors:
        picture[:] = _sky(rng, rows, columns, margin, horizon, height)
        _far_things(rng, picture, margin, horizon, height, across)
    else:
        picture[:] = _spread(WALLS[rng.integers(len(WALLS))](rng), rows, columns, margin, height)
        _skirting(rng, picture, margin, horizon, height, across)
    ground = GROUNDS[rng.integers(len(GROUNDS))](rng) if outdoors else GROUNDS[2 + rng.integers(2)](rng)
    _lay_ground(picture, ground, margin, horizon, height, width)
    left, right = (0.88, 1.1) if rng.random() < 0.5 else (1.1, 0.88)
    # Light falls off to one side, as it does in every room and street.
    fall = np.linspace(left, right, columns)[None, :, None] * np.linspace(1.04, 0.94, rows)[:, None, None]
    picture = blur(picture, 0.6) * fall.astype(np.float32)
    return Backdrop(picture=np.clip(picture, 0, 255), margin=margin, horizon=horizon, outdoors=outdoors)


def _sky(rng: np.random.Generator, rows: int, columns: int, margin: int, horizon: float, height: int) -> np.ndarray:
    top = np.array([[96, 146, 214], [150, 160, 176], [210, 150, 120], [70, 90, 150]])[rng.integers(4)]
    low = top + (255 - top) * rng.uniform(0.35, 0.7)
    y, x = (np.mgrid[0:rows, 0:columns] - margin) / height
    share = np.clip(0.1 + 0.9 * y[..., None] / horizon, 0, 1)
    sky = top * (1 - share) + low * share
    clouds = sum(
        weight * np.sin(2 * np.pi * (fx * x + 1.8 * fx * y + phase) + 1.5 * np.sin(2 * np.pi * (fx * 1.3 * y + phase)))
        for fx, weight, phase in zip(rng.uniform(0.4, 3.0, 6), (1, 0.8, 0.6, 0.5, 0.4, 0.3), rng.random(6), strict=True)
    )
    cover = np.clip(clouds - rng.uniform(0.0, 1.2), 0, 1)[..., None] * 0.6
    return sky * (1 - cover) + 245 * cover


def _far_things(
    rng: np.random.Generator, picture: np.ndarray, margin: int, level: float, height: int, across: tuple[float, float]
) -> None:
    """Hills, houses with windows, or a wood, along the horizon."""
    kind = rng.choice(["hills", "houses", "wood"])
    parts: list[Part] = []
    if kind == "hills":
        pattern = grass(rng)
        for x in rng.uniform(*across, 6):
            size = rng.uniform(0.25, 0.6)
            parts.append(
                Part(
                    shape="ellipse",
                    centre=complex(x, level + 0.02),
                    along=complex(size),
                    half_width=size * rng.uniform(0.2, 0.5),
                    pattern=pattern,
                    gloss=0.5,
                )
            )
    elif kind == "wood":
        pattern = foliage(rng)
        for x in np.arange(*across, 0.13):
            size = rng.uniform(0.1, 0.2)
            x += rng.uniform(-0.05, 0.05)
            parts.append(
                Part(
                    shape="ellipse",
                    centre=complex(x, level - 0.06),
                    along=1j * size,
                    half_width=0.1,
                    pattern=pattern,
                    gloss=0.7,
                )
            )
    else:
        x = across[0] - 0.1
        while x < across[1]:
            x = _house(rng, parts, x, level)
    draw_parts(picture, None, 0, parts, -(1 + 1j) * margin / height, height)


def _house(rng: np.random.Generator, parts: list[Part], x: float, level: float) -> float:
    """Adds a house whose left side is at ``x``; returns where the next may begin."""
    half, tall = rng.uniform(0.14, 0.26), rng.uniform(0.25, 0.45)
    wall = WALLS[rng.integers(len(WALLS))](rng)
    glass = plain(rng, np.array([70, 86, 104]), uneven=0.2)
    middle = x + half
    parts.append(
        Part(
            shape="box",
            centre=complex(middle, level - tall / 2 + 0.02),
            along=complex(half),
            half_width=tall / 2,
            pattern=wall,
            round_=0.02,
            gloss=0.05,
        )
    )
    across, floors = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    for column in range(across):
        for floor in range(floors):
            place = complex(x + 2 * half * (column + 0.5) / across, level - tall * (floor + 0.55) / floors)
            parts.append(
                Part(
                    shape="box",
                    centre=place,
                    along=complex(0.032),
                    half_width=0.042,
                    pattern=glass,
                    round_=0.05,
                    gloss=0.4,
                )
            )
    return x + 2 * half + rng.choice([0.0, 0.0, 0.08])


def _skirting(
    rng: np.random.Generator, picture: np.ndarray, margin: int, level: float, height: int, across: tuple[float, float]
) -> None:
    """A skirting board, and pictures or windows on the wall."""
    board = plain(rng, random_colour(rng, saturation=0.3))
    parts = [
        Part(
            shape="box",
            centre=complex(sum(across) / 2, level - 0.02),
            along=complex(across[1] - across[0]),
            half_width=0.02,
            pattern=board,
            gloss=0,
        )
    ]
    for x in rng.uniform(*across, rng.integers(1, 4)):
        half, tall = rng.uniform(0.08, 0.16), rng.uniform(0.08, 0.14)
        place = complex(x, level - rng.uniform(0.3, 0.42))
        inner = [foliage, grass, WALLS[1]][rng.integers(3)](rng)
        parts.append(
            Part(
                shape="box",
                centre=place,
                along=complex(half + 0.015),
                half_width=tall + 0.015,
                pattern=board,
                round_=0.05,
            )
        )
        parts.append(
            Part(shape="box", centre=place, along=complex(half), half_width=tall, pattern=inner, round_=0.0, gloss=0)
        )
    draw_parts(picture, None, 0, parts, -(1 + 1j) * margin / height, height)


def _lay_ground(picture: np.ndarray, pattern: Pattern, margin: int, horizon: float, height: int, width: int) -> None:
    """Covers everything below the horizon with the pattern in perspective."""
    rows = np.arange(margin + round(horizon * height), picture.shape[0])
    depth = 0.35 / ((rows - margin) / height - horizon + 0.06)
    x = (np.arange(picture.shape[1]) - margin - width / 2) / height
    factor = SIDE / pattern.extent
    across = (x[None, :] * depth[:, None]) * factor
    along = np.broadcast_to((depth * 1.2 * factor)[:, None], across.shape)
    far = np.clip((depth - 1.2) / 4, 0, 1)[:, None, None]
    laid = sample(pattern.picture, across % (SIDE - 1), along % (SIDE - 1))
    # Far off, detail is finer than a pixel: its mean colour, or it would crawl.
    picture[rows[0] :] = laid * (1 - far) + pattern.picture.mean((0, 1)) * far


def _spread(pattern: Pattern, rows: int, columns: int, margin: int, height: int) -> np.ndarray:
    factor = SIDE / (pattern.extent * height)
    y, x = (np.mgrid[0:rows, 0:columns] - margin) * factor % (SIDE - 1)
    return sample(pattern.picture, x, y)
