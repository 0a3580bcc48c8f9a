"""Pictures of heat maps: an overlay on one frame, and a contact sheet of many."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from artifactscan.messages.text import printable

COLOURS = "turbo"
"""Colour map of matplotlib, from blue through green and yellow to red."""
MAX_OPACITY = 0.6
"""Opacity of the colour where the heat is 1; where it is 0 the frame is unchanged, so that the defect stays visible."""

_PNG_LEVEL = 3
"""A little larger than at the default of 6, and much faster."""
_TILE_WIDTH_PX, _TILE_GAP_PX, _TITLE_PX, _HEADER_PX, _FONT_PX = 320, 8, 22, 44, 13
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
    height, width = rows[0][0].picture.shape[:2]
    tile_px = round(height * _TILE_WIDTH_PX / width)
    step_x, step_y = _TILE_WIDTH_PX + _TILE_GAP_PX, tile_px + _TITLE_PX + _TILE_GAP_PX
    size = (len(rows[0]) * step_x + _TILE_GAP_PX, len(rows) * step_y + _HEADER_PX)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    plain, bold = (ImageFont.truetype(findfont(f"DejaVu Sans:{weight}"), _FONT_PX) for weight in ("regular", "bold"))
    draw.text((_TILE_GAP_PX, _HEADER_PX / 2), printable(title, _TITLE_CHARS), "black", bold, anchor="lm")
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            x, y = _TILE_GAP_PX + column * step_x, _HEADER_PX + number * step_y
            colour, font = (_OVER, bold) if tile.strong else (_UNDER, plain)
            draw.text((x, y + _TITLE_PX / 2), tile.title, colour, font, anchor="lm")
            sheet.paste(Image.fromarray(tile.picture).resize((_TILE_WIDTH_PX, tile_px)), (x, y + _TITLE_PX))
    return _png_file(sheet)


def png(picture: np.ndarray) -> bytes:
    """A PNG file of a picture, uint8 RGB (height, width, 3)."""
    return _png_file(Image.fromarray(picture))


def _png_file(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()
