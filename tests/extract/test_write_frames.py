"""Frames to image files: the wanted ones, and none from an attempt without the verdict."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from media import draw_frame
from PIL import Image

from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeResult, VideoFacts
from artifactscan.extract.extraction_tables import EXTRACTED
from artifactscan.extract.write_frames import ImageWriter, take_frames
from artifactscan.outcomes import Outcome

PICTURES = [draw_frame(number, 32, 16) for number in range(4)]
ROW: dict[str, Any] = {"video_id": "id", "uri": "/clips/a b.mp4", "file": "a b.mp4", "wanted": None}


def segment(attempt: str, frames: list[int], outcome: Outcome | None = None) -> Segment:
    verdict = DecodeResult(outcome=outcome, reason=None, facts=VideoFacts(codec="h264")) if outcome else None
    return Segment(
        attempt=attempt,
        index=0,
        frame_index=frames,
        pts_s=[frame / 2 for frame in frames],
        height=16 if frames else 0,
        width=32 if frames else 0,
        pixels=b"".join(PICTURES[frame].tobytes() for frame in frames),
        result=verdict,
    )


def test_png_keeps_every_pixel_and_jpeg_nearly() -> None:
    for format, worst in (("png", 0), ("jpeg", 12)):
        data = ImageWriter(root="", format=format).encode(PICTURES[1])
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == format.upper()
            error = np.abs(np.asarray(image).astype(int) - PICTURES[1])
        assert error.mean() <= worst


def test_the_wanted_frames_are_written(tmp_path: Path) -> None:
    segments = [segment("x", [0, 1]), segment("x", [2, 3], Outcome.PARTIAL)]
    row = take_frames(ROW | {"wanted": [1, 2]}, segments, ImageWriter(root=str(tmp_path)))
    assert (row["outcome"], row["codec"], row["file"]) == ("partial", "h264", "a b.mp4")
    assert [(frame["frame_index"], frame["pts_s"], frame["width"], frame["height"]) for frame in row["frames"]] == [
        (1, 0.5, 32, 16),
        (2, 1.0, 32, 16),
    ]
    files = sorted(tmp_path.rglob("*.png"))
    assert [str(file.relative_to(tmp_path)) for file in files] == [frame["image"] for frame in row["frames"]]
    for file, number in zip(files, (1, 2), strict=True):
        with Image.open(file) as image:
            assert (np.asarray(image) == PICTURES[number]).all()
    assert pa.Table.from_pylist([row], EXTRACTED).num_rows == 1


def test_a_failed_attempt_leaves_no_image(tmp_path: Path) -> None:
    writer = ImageWriter(root=str(tmp_path))
    row = take_frames(ROW, [segment("x", [0, 1]), segment("y", [1, 2], Outcome.SCORED)], writer)
    assert [frame["frame_index"] for frame in row["frames"]] == [1, 2]
    assert {f"frames/{file.name}" for file in tmp_path.rglob("*.png")} == {frame["image"] for frame in row["frames"]}
    row = take_frames(ROW, [segment("x", [0, 1, 2]), segment("y", [], Outcome.CHANGED)], writer)
    assert (row["frames"], list(tmp_path.rglob("*.png"))) == ([], [])


def test_without_a_writer_frames_are_only_listed() -> None:
    row = take_frames(ROW, [segment("x", [0, 3], Outcome.SCORED)], None)
    assert [(frame["frame_index"], frame["image"]) for frame in row["frames"]] == [(0, None), (3, None)]


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("in the way")
    with pytest.raises(OSError):
        take_frames(ROW, [segment("x", [0], Outcome.SCORED)], ImageWriter(root=str(tmp_path)))
