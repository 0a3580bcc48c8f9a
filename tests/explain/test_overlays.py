"""Pictures of heat maps."""

import io

import numpy as np
import pytest
from PIL import Image

from artifactscan.explain.overlays import MAX_OPACITY, Tile, contact_sheet, overlay, png, thumbnail


def test_no_heat_leaves_the_frame_as_it_is() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    assert np.array_equal(overlay(frame, np.zeros((24, 24), np.float32)), frame)


def test_heat_is_stretched_over_the_frame_and_red_at_its_peak() -> None:
    frame = np.full((90, 160, 3), 100, np.uint8)
    heat = np.zeros((30, 20), np.float32)
    heat[20:, 15:] = 1  # the lower third, the right quarter
    picture = overlay(frame, heat)
    assert (picture.shape, picture.dtype) == (frame.shape, np.uint8)
    assert np.array_equal(picture[:55, :], frame[:55, :])
    assert np.array_equal(picture[:, :110], frame[:, :110])
    # The last colour of turbo is (122, 4, 3).
    expected = np.rint(100 * (1 - MAX_OPACITY) + np.array([122.4, 4.1, 2.7]) * MAX_OPACITY)
    np.testing.assert_allclose(picture[70:, 130:], np.broadcast_to(expected, (20, 30, 3)), atol=1)


def test_a_png_holds_the_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)


@pytest.mark.parametrize(("height", "width", "shape"), [(720, 1280, (180, 320, 3)), (96, 54, (96, 54, 3))])
def test_thumbnails_keep_the_aspect(height: int, width: int, shape: tuple[int, ...]) -> None:
    assert thumbnail(np.zeros((height, width, 3), np.uint8)).shape == shape


def test_a_contact_sheet_has_a_row_per_frame_and_every_picture_where_it_belongs() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200), (200, 0, 200)]
    tiles = [Tile(picture=np.full((180, 320, 3), colour, np.uint8), title="one", strong=True) for colour in colours]
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet([tiles[:3], tiles[3:]], "clip"))).convert("RGB"))
    assert sheet.shape == (44 + 2 * 210, 8 + 3 * 328, 3)
    for number, colour in enumerate(colours):
        x, y = 8 + number % 3 * 328 + 160, 44 + number // 3 * 210 + 22 + 90
        assert tuple(sheet[y, x]) == colour
    assert (sheet[:, :7] == 255).all()


def test_titles_may_be_hostile() -> None:
    tile = Tile(picture=np.zeros((9, 16, 3), np.uint8), title="$\\frac$ 動画")
    assert contact_sheet([[tile]], "$x\n" + "動" * 500).startswith(b"\x89PNG")
