"""Which questions are asked about an extraction's frames, and which images go with them."""

import io
from pathlib import Path

import numpy as np
import pytest
from extraction import write_extraction
from PIL import Image

from artifactscan.annotation.frame_index import read_index
from artifactscan.judge.frames_to_judge import asked_twice, encode_shot, plan_asks, read_frame


def asks_of(index: Path, wanted: list[tuple[str, int]], **settings: float) -> list[dict]:
    options = {"neighbours": 1, "gap_s": 1.0, "repeat_share": 0.0} | settings
    return plan_asks(read_index(str(index)), wanted, **options).to_pylist()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_extraction(tmp_path_factory.mktemp("extraction") / "x", {"a.mp4": 4, "b.mp4": 1})


def test_a_frame_has_the_neighbours_of_its_own_clip(index: Path) -> None:
    asks = asks_of(index, [("b.mp4", 0), ("a.mp4", 36), ("a.mp4", 0), ("a.mp4", 12)])
    assert [(ask["file"], ask["frame_index"], [near["pts_s"] for near in ask["neighbours"]]) for ask in asks] == [
        ("a.mp4", 0, [0.5]),
        ("a.mp4", 12, [0.0, 1.0]),
        ("a.mp4", 36, [1.0]),
        ("b.mp4", 0, []),
    ]


@pytest.mark.parametrize(
    ("neighbours", "gap_s", "shown"),
    [(0, 9.0, []), (1, 0.4, []), (2, 0.5, [0.0, 1.0]), (2, 9.0, [0.0, 1.0, 1.5]), (9, 9.0, [0.0, 1.0, 1.5])],
)
def test_neighbours_have_a_number_and_a_distance(index: Path, neighbours: int, gap_s: float, shown: list) -> None:
    [ask] = asks_of(index, [("a.mp4", 12)], neighbours=neighbours, gap_s=gap_s)
    assert [near["pts_s"] for near in ask["neighbours"]] == shown


def test_a_share_of_the_frames_is_asked_about_twice_always_the_same(index: Path) -> None:
    frames = [(f"clip{n}.mp4", n) for n in range(4000)]
    few, more = ({frame for frame in frames if asked_twice(frame, share)} for share in (0.05, 0.1))
    assert few < more
    assert 0.04 < len(few) / len(frames) < 0.06
    asks = asks_of(index, [("a.mp4", 0), ("a.mp4", 12)], repeat_share=1.0)
    assert [(ask["frame_index"], ask["ask"]) for ask in asks] == [(0, 0), (0, 1), (12, 0), (12, 1)]
    assert not asked_twice(("a.mp4", 0), 0.0)


def test_images_are_scaled_down_and_never_up() -> None:
    rgb = np.zeros((120, 200, 3), np.uint8)
    for side, size in ((100, (100, 60)), (500, (200, 120))):
        with Image.open(io.BytesIO(encode_shot(rgb, pts_s=0, image_side=side).jpeg)) as image:
            assert (image.format, image.size) == ("JPEG", size)


def test_the_images_of_a_question_are_read(index: Path) -> None:
    [ask] = asks_of(index, [("a.mp4", 12)])
    frame = read_frame(ask, str(index.parent), image_side=64)
    assert (frame.file, frame.frame_index, frame.shot.pts_s) == ("a.mp4", 12, 0.5)
    reds = []
    for shot in (frame.shot, *frame.neighbours):
        with Image.open(io.BytesIO(shot.jpeg)) as image:
            reds.append(np.asarray(image)[0, 0, 0])
    assert np.abs(np.array(reds, int) - [10, 0, 20]).max() <= 2


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"no image", "not a readable image")])
def test_an_image_that_cannot_be_read_is_an_error(content: bytes | None, said: str, tmp_path: Path) -> None:
    index = write_extraction(tmp_path / "x", {"a.mp4": 2})
    [ask] = asks_of(index, [("a.mp4", 0)])
    broken = index.parent / ask["neighbours"][0]["image"]
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(OSError, match=said):
        read_frame(ask, str(index.parent), image_side=64)
