"""Pictures of heat maps: an overlay on one frame, and a contact sheet of many."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from artifactscan.messages.text import printable

COLOURS = "turbo"
"""Colour map of matplotlib, from blue through green and yellow to red."""
MAX_OPACITY = 0.6
"""Opacity of the colour where the heat is 1; where it is 0 the frame is unchanged, so that the defect stays visible."""

_PNG_LEVEL = 3
"""A little larger than at the default of 6, and much faster."""
_TILE_WIDTH_PX, _TILE_GAP_PX, _TITLE_PX, _HEADER_PX, _FONT_PX = 320, 8, 22, 44, 13
_DPI = 100
_OVER, _UNDER = "#b3261e", "#444444"
_TITLE_CHARS = 120


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of a contact sheet."""

    picture: np.ndarray
    """uint8 RGB, (height, width, 3)."""
    title: str
    strong: bool = False
    """Whether the title is bold and red: the score is at or over its threshold."""


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draws a heat map, float32 (h, w) from 0 to 1, over a frame, uint8 RGB (H, W, 3), stretched to its size."""
    height, width = frame.shape[:2]
    stretched = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(stretched), 0, 1)
    colour = matplotlib.colormaps[COLOURS](heat)[..., :3] * 255
    opacity = (MAX_OPACITY * heat)[..., None]
    return np.rint(frame * (1 - opacity) + colour * opacity).astype(np.uint8)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """The picture, uint8 RGB, shrunk where it is wider than a tile of the contact sheet."""
    height, width = picture.shape[:2]
    if width <= _TILE_WIDTH_PX:
        return picture
    size = (_TILE_WIDTH_PX, max(1, round(height * _TILE_WIDTH_PX / width)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def contact_sheet(rows: Sequence[Sequence[Tile]], title: str) -> bytes:
    """A PNG of all tiles, one line of tiles per row, all of one size; a long ``title`` is cut in the middle."""
    columns = len(rows[0])
    height, width = rows[0][0].picture.shape[:2]
    tile_px = round(height * _TILE_WIDTH_PX / width)
    step_x, step_y = _TILE_WIDTH_PX + _TILE_GAP_PX, tile_px + _TITLE_PX + _TILE_GAP_PX
    sheet_px = np.array([columns * step_x + _TILE_GAP_PX, len(rows) * step_y + _HEADER_PX])
    figure = Figure(figsize=tuple(sheet_px / _DPI), dpi=_DPI, facecolor="white")
    size = np.array([_TILE_WIDTH_PX, tile_px]) / sheet_px

    def write(x_px: float, y_px: float, text: str, **style: Any) -> None:
        x, y = np.array([x_px, sheet_px[1] - y_px]) / sheet_px
        figure.text(x, y, text, va="center", parse_math=False, fontsize=_FONT_PX * 72 / _DPI, **style)

    write(_TILE_GAP_PX, _HEADER_PX / 2, printable(title, _TITLE_CHARS), weight="bold")
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            x_px, y_px = _TILE_GAP_PX + column * step_x, _HEADER_PX + number * step_y
            style = {"color": _OVER, "weight": "bold"} if tile.strong else {"color": _UNDER}
            write(x_px, y_px + _TITLE_PX / 2, tile.title, **style)
            corner = np.array([x_px, sheet_px[1] - y_px - _TITLE_PX - tile_px]) / sheet_px
            axes = figure.add_axes((*corner, *size))
            axes.imshow(tile.picture, aspect="auto", interpolation="antialiased")
            axes.set_axis_off()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font lacks some scripts of file names
        figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def png(picture: np.ndarray) -> bytes:
    """A PNG file of a picture, uint8 RGB (height, width, 3)."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()
