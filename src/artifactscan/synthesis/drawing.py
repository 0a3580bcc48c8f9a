"""Draws parts (tapered limbs, ellipses, rounded boxes) onto a canvas, smooth at the edges, patterned and lit."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from artifactscan.synthesis.patterns import SIDE, Pattern

_LIGHT = -0.6 - 0.8j
"""Where the light comes from: left and above, length 1."""


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
    round_: float = 0.2
    """Boxes only: radius of the corners over the half width."""
    shade: float = 1.0
    """Brightness: 0.7 for what is on the far side."""
    opacity: float = 1.0
    gloss: float = 0.35
    """How strongly the form is modelled by light; 0 is flat."""

    def moved(self, by: complex) -> "Part":
        return replace(self, centre=self.centre + by)

    def about(self, pivot: complex, factor: complex) -> "Part":
        """Turned and scaled about a point by a complex factor."""
        return replace(
            self,
            centre=pivot + (self.centre - pivot) * factor,
            along=self.along * factor,
            half_width=self.half_width * abs(factor),
        )


def limb(
    start: complex, end: complex, width: float, pattern: Pattern, *, taper: float = 0.8, shade: float = 1.0
) -> Part:
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
    canvas: np.ndarray,
    owners: np.ndarray | None,
    owner: int,
    parts: Iterable[Part],
    camera: complex,
    scale: float,
) -> None:
    """Draws parts in order onto ``canvas`` (float32 RGB 0..255, (height, width, 3)), in place.

    ``owners`` (uint8, (height, width)) takes the number ``owner`` where a part covers half a pixel or more.
    ``camera``: the scene's place at the canvas' top left corner. ``scale``: pixels per frame height.
    """
    for part in parts:
        _draw(canvas, owners, owner, part, camera, scale)


def draw_shadow(canvas: np.ndarray, centre: complex, half_length: float, camera: complex) -> None:
    """A soft, flat shadow on the ground."""
    height, width = canvas.shape[:2]
    centre = (centre - camera) * height
    reach_x, reach_y = half_length * height, half_length * 0.22 * height
    rows, columns = _clipped(centre, reach_x, reach_y, height, width)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    y = (np.arange(rows.start, rows.stop) + 0.5 - centre.imag) / reach_y
    x = (np.arange(columns.start, columns.stop) + 0.5 - centre.real) / reach_x
    dark = 0.5 * np.clip(1 - (x[None, :] ** 2 + y[:, None] ** 2), 0, 1)
    canvas[rows, columns] *= (1 - dark[..., None]).astype(np.float32)


def _draw(canvas: np.ndarray, owners: np.ndarray | None, owner: int, part: Part, camera: complex, scale: float) -> None:
    height, width = canvas.shape[:2]
    centre = (part.centre - camera) * scale
    length = max(abs(part.along) * scale, 1e-3)
    axis = part.along / max(abs(part.along), 1e-9) if part.along else 1 + 0j
    thick = part.half_width * scale
    widest = thick * max(1.0, part.taper)
    reach = length + (widest if part.shape == "capsule" else 0)
    reach_x = abs(axis.real) * reach + abs(axis.imag) * widest + widest * (part.shape == "capsule") + 2
    reach_y = abs(axis.imag) * reach + abs(axis.real) * widest + widest * (part.shape == "capsule") + 2
    rows, columns = _clipped(centre, reach_x, reach_y, height, width)
    if rows.start >= rows.stop or columns.start >= columns.stop or part.opacity <= 0:
        return
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - centre.real))[None, :]
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - centre.imag))[:, None]
    # u runs along the part, v across, both in pixels from its centre.
    u = x * np.float32(axis.real) + y * np.float32(axis.imag)
    v = y * np.float32(axis.real) - x * np.float32(axis.imag)
    distance, side, end = _outline(part, u, v, length, thick)
    cover = np.clip(0.5 - distance, 0, 1) * np.float32(part.opacity)
    # A slanted limb covers little of its upright rectangle: colour only what it covers.
    inside = np.nonzero(cover > 0)
    share = cover[inside]
    colour = _colour(part.pattern, u[inside] / scale, v[inside] / scale) * np.float32(part.shade)
    if part.gloss:
        # The surface leans away from the middle axis: light by how far it leans towards the lamp.
        side, end = side[inside], end[inside]
        normal_x = side * -axis.imag + end * axis.real
        normal_y = side * axis.real + end * axis.imag
        lit = 1 + part.gloss * (normal_x * _LIGHT.real + normal_y * _LIGHT.imag - 0.25 * (side**2 + end**2))
        colour *= lit.astype(np.float32)[:, None]
    patch = canvas[rows, columns]
    old = patch[inside]
    patch[inside] = old + (np.clip(colour, 0, 255) - old) * share[:, None]
    if owners is not None:
        owners[rows, columns][cover >= 0.5] = owner


def _outline(part: Part, u: np.ndarray, v: np.ndarray, length: float, thick: float):
    """Signed distance to the outline in pixels, and how far across and along the point lies, each -1..1."""
    if part.shape == "capsule":
        t = np.clip((u + length) / (2 * length), 0, 1)
        radius = thick * (1 + (part.taper - 1) * t)
        beyond = u - np.clip(u, -length, length)
        return np.hypot(beyond, v) - radius, np.clip(v / radius, -1, 1), np.clip(beyond / radius, -1, 1)
    across, along = np.clip(v / thick, -1, 1), np.clip(u / length, -1, 1)
    if part.shape == "ellipse":
        norm = np.hypot(u / length, v / thick)
        # Distance to first order: good to a fraction of a pixel at the outline.
        slope = np.maximum(np.hypot(u / length**2, v / thick**2), 1e-6)
        return (norm - 1) * norm / slope, across, along
    corner = part.round_ * min(thick, length)
    qx, qy = np.abs(u) - length + corner, np.abs(v) - thick + corner
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return outside + np.minimum(np.maximum(qx, qy), 0) - corner, across * 0.4, along * 0.4


def _colour(pattern: Pattern, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The pattern at the points (u, v) in frame heights, bilinear: float32 RGB, (points, 3)."""
    factor = np.float32(SIDE / pattern.extent)
    across, down = u * factor, v * factor
    i, j = np.floor(down).astype(np.int32), np.floor(across).astype(np.int32)
    fy, fx = (down - i)[:, None], (across - j)[:, None]
    i0, j0, i1, j1 = i % SIDE * SIDE, j % SIDE, (i + 1) % SIDE * SIDE, (j + 1) % SIDE
    texels = pattern.picture.reshape(-1, 3)
    top = texels[i0 + j0] * (1 - fx) + texels[i0 + j1] * fx
    bottom = texels[i1 + j0] * (1 - fx) + texels[i1 + j1] * fx
    return top * (1 - fy) + bottom * fy


def _clipped(centre: complex, reach_x: float, reach_y: float, height: int, width: int) -> tuple[slice, slice]:
    rows = slice(max(0, int(centre.imag - reach_y)), min(height, int(centre.imag + reach_y) + 1))
    columns = slice(max(0, int(centre.real - reach_x)), min(width, int(centre.real + reach_x) + 1))
    return rows, columns
