"""Fetching and decoding listed videos one after the other; each has one result."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated import SETTINGS
from media import write_clip

from artifactscan import storage
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.outcomes import Outcome


@pytest.fixture(scope="module")
def child() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder(SETTINGS) as process:
        yield process


def listed(path: Path) -> dict[str, Any]:
    found = storage.stat(str(path))
    return {"uri": str(path), "etag": found.etag, "size_bytes": found.size_bytes}


def read(reader: VideoReader, *rows: dict[str, Any]) -> list[tuple[str, Segment]]:
    return [(Path(row["uri"]).name, segment) for row, segment in reader.read(rows)]


def test_videos_are_read_in_order_with_one_result_each(child: SandboxedDecoder, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{n}.mp4", seconds=n) for n in (1, 2)]
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    gone = listed(clips[0]) | {"uri": str(tmp_path / "gone.mp4")}
    reader = VideoReader(child, max_object_bytes=1 << 20)
    segments = read(reader, listed(clips[0]), gone, listed(broken), listed(clips[1]))
    assert [(name, str(one.result.outcome)) for name, one in segments if one.result] == [
        ("1.mp4", "scored"),
        ("gone.mp4", "unreadable"),
        ("broken.mp4", "undecodable"),
        ("2.mp4", "scored"),
    ]
    assert [one.frame_index for name, one in segments if name == "2.mp4"] == [[0, 12, 24], [36]]
    size = (SETTINGS.input.height, SETTINGS.input.width)
    assert {(one.height, one.width) for name, one in segments if name == "2.mp4"} == {size}


def test_a_file_written_to_while_it_is_decoded_is_changed(child: SandboxedDecoder, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=4)
    reader = VideoReader(child, max_object_bytes=1 << 20)
    row = listed(clip)
    segments = []
    for _, segment in reader.read([row]):
        segments.append(segment)
        with clip.open("ab") as file:
            file.write(b"more")
    [result] = [segment.result for segment in segments if segment.result]
    assert (result.outcome, result.reason) == (Outcome.CHANGED, "the file was written to while it was decoded")
    assert segments[-1].attempt != segments[0].attempt
    assert not segments[-1].frame_index


def test_an_object_over_the_limit_is_too_large(child: SandboxedDecoder, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1)
    [(_, segment)] = read(VideoReader(child, max_object_bytes=10), listed(clip))
    assert segment.result is not None
    assert segment.result.outcome is Outcome.TOO_LARGE
