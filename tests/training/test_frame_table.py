"""Labelled frames are the scoring job's own, whether they lie on its grid or not."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from labelled_clips import FRAMES, write_labelled, write_rows
from media import read_number, truncate

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import DecoderProcess
from artifactscan.decode.video import DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.training.frame_table import (
    FRAME_TABLE,
    FrameTable,
    check_whole,
    clips_to_decode,
    every_frame,
    frame_table,
    keep_labelled,
)
from artifactscan.training.labelled_frames import Clip, LabelledFrames, load_labelled_frames

SPEC = InputSpec(height=48, width=80)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("data") / "set", clips=2)


def decode(labelled: LabelledFrames) -> pa.Table:
    with DecoderProcess(every_frame(SPEC)) as process:
        reader = VideoReader(process, max_object_bytes=1 << 30)
        tables = []
        for clip in clips_to_decode(labelled).to_pylist():
            tables.append(keep_labelled(clip, (segment for _, segment in reader.read([clip]))))
    return pa.concat_tables(tables)


def test_frames_are_those_labelled_and_pixels_those_scored(table: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    decoded = decode(labelled).sort_by("row")
    check_whole(decoded, labelled)
    assert decoded.schema == FRAME_TABLE
    assert decoded["frame_index"].to_pylist() == [*FRAMES, *FRAMES]
    assert decoded["pts_s"].to_pylist() == pytest.approx([frame / 12 for frame in (*FRAMES, *FRAMES)])
    pixels = [np.frombuffer(blob, np.uint8).reshape(48, 80, 3) for blob in decoded["pixels"].to_pylist()]
    assert [read_number(picture) for picture in pixels] == [*FRAMES, *(frame + 20 for frame in FRAMES)]
    assert np.stack([decoded[f"y_{name}"].to_numpy() for name in ("boundary", "object")], axis=1).tolist() == (
        labelled.y[:, [0, 3]].tolist()
    )
    with DecoderProcess(DecodeSettings(input=SPEC)) as scoring:
        [segment] = scoring.decode(labelled.clips["clips/clip0.mp4"].uri)
    assert segment.frame_index == [0, 6]
    on_grid = np.frombuffer(segment.pixels, np.uint8).reshape(-1, 48, 80, 3)[1]
    assert np.array_equal(pixels[FRAMES.index(6)], on_grid)


def test_what_cannot_be_had_is_told(table: Path, tmp_path: Path) -> None:
    beyond = write_rows(
        table.parent / "beyond.csv", [("clips/clip0.mp4", 40, 0, 0, 0, 0), ("clips/clip0.mp4", 1, *"0000")]
    )
    labelled = load_labelled_frames([str(beyond)], [])
    with pytest.raises(UsageError, match=r"frame 40 of 'clips/clip0\.mp4', which has 12 frames, 0 to 11; correct"):
        check_whole(decode(labelled), labelled)
    broken = write_labelled(tmp_path / "broken", clips=1)
    truncate(broken.parent / "clips/clip0.mp4", keep=0.2)
    labelled = load_labelled_frames([str(broken)], [])
    with pytest.raises(UsageError, match=r"clip 'clips/clip0\.mp4' is undecodable .* \(3 more labelled frames"):
        check_whole(decode(labelled), labelled)


def test_the_table_is_another_one_for_other_labels_clips_or_sizes(table: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    same = frame_table("/cache", labelled, SPEC)
    assert same == frame_table("/cache", labelled, dataclasses.replace(SPEC, mean=(0.5, 0.5, 0.5)))
    others = [
        frame_table("/cache", labelled, dataclasses.replace(SPEC, height=64)),
        frame_table("/cache", labelled, dataclasses.replace(SPEC, resize="area")),
        frame_table("/cache", LabelledFrames(table=labelled.table.slice(1), clips=labelled.clips), SPEC),
    ]
    changed = {file: Clip(uri=clip.uri, etag="other", size_bytes=1) for file, clip in labelled.clips.items()}
    others.append(frame_table("/cache", LabelledFrames(table=labelled.table, clips=changed), SPEC))
    assert len({same.root, *(other.root for other in others)}) == 5


def test_the_index_closes_it(table: Path, tmp_path: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    kept = FrameTable(str(tmp_path / "table"))
    assert not kept.exists()
    kept.close(decode(labelled))
    assert kept.exists()
    assert kept.index()["row"].to_pylist() == list(range(8))
