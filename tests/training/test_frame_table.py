"""Labelled frames have the pixels that the scoring job sees, at any frame index."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from labelled_clips import FRAMES, write_labelled, write_rows
from media import read_number, truncate

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.training.frame_table import (
    FRAME_TABLE,
    TARGET_COLUMNS,
    FrameTable,
    check_complete,
    clips_to_decode,
    every_frame_settings,
    find_frame_table,
    labels_and_targets,
    select_labelled_frames,
)
from artifactscan.training.labelled_frames import Clip, LabelledFrames, load_labelled_frames

SPEC = InputSpec(height=48, width=80)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("data") / "set", clips=2)


def decode(labelled: LabelledFrames) -> pa.Table:
    with SandboxedDecoder(every_frame_settings(SPEC)) as process:
        reader = VideoReader(process, max_object_bytes=1 << 30)
        tables = []
        for clip in clips_to_decode(labelled).to_pylist():
            tables.append(select_labelled_frames(clip, (segment for _, segment in reader.read([clip]))))
    return pa.concat_tables(tables)


def test_labelled_frames_are_decoded_with_the_pixels_of_the_scoring_job(table: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    decoded = decode(labelled).sort_by("row")
    check_complete(decoded, labelled)
    assert decoded.schema == FRAME_TABLE
    assert decoded["frame_index"].to_pylist() == [*FRAMES, *FRAMES]
    assert decoded["pts_s"].to_pylist() == pytest.approx([frame / 12 for frame in (*FRAMES, *FRAMES)])
    pixels = [np.frombuffer(blob, np.uint8).reshape(48, 80, 3) for blob in decoded["pixels"].to_pylist()]
    assert [read_number(picture) for picture in pixels] == [*FRAMES, *(frame + 20 for frame in FRAMES)]
    assert np.stack([decoded[f"y_{name}"].to_numpy() for name in ("boundary", "object")], axis=1).tolist() == (
        labelled.y[:, [0, 3]].tolist()
    )
    with SandboxedDecoder(DecodeSettings(input=SPEC)) as scoring:
        [segment] = scoring.decode(labelled.clips["clips/clip0.mp4"].uri)
    assert segment.frame_index == [0, 6]
    on_grid = np.frombuffer(segment.pixels, np.uint8).reshape(-1, 48, 80, 3)[1]
    assert np.array_equal(pixels[FRAMES.index(6)], on_grid)


def test_frames_have_the_targets_of_their_grades(table: Path) -> None:
    grades = table.parent / "grades.csv"
    columns = ",".join(f"severity_{label}" for label in LABELS)
    grades.write_text(f"file,frame_index,{columns}\nclips/clip1.mp4,5,0,1,2,3\nclips/clip0.mp4,1,1.5,0,0,0\n")
    labelled = load_labelled_frames([str(grades)], [])
    y, targets = labels_and_targets(decode(labelled).sort_by("row"))
    assert y.tolist() == labelled.y.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]
    assert (y.dtype, targets.dtype) == (np.int8, np.float32)
    assert (targets == labelled.targets).all()
    assert targets[1].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_a_table_without_targets_has_the_labels_as_targets(table: Path) -> None:
    """As version 0.1.0 wrote them."""
    labelled = load_labelled_frames([str(table)], [])
    y, targets = labels_and_targets(decode(labelled).sort_by("row").drop_columns(list(TARGET_COLUMNS)))
    assert (y == labelled.y).all()
    assert (targets == y).all()


def test_labelled_frames_that_cannot_be_decoded_are_refused(table: Path, tmp_path: Path) -> None:
    beyond = write_rows(
        table.parent / "beyond.csv", [("clips/clip0.mp4", 40, 0, 0, 0, 0), ("clips/clip0.mp4", 1, *"0000")]
    )
    labelled = load_labelled_frames([str(beyond)], [])
    with pytest.raises(UsageError, match=r"frame 40 of 'clips/clip0\.mp4', which has 12 frames, 0 to 11; correct"):
        check_complete(decode(labelled), labelled)
    broken = write_labelled(tmp_path / "broken", clips=1)
    truncate(broken.parent / "clips/clip0.mp4", keep=0.2)
    labelled = load_labelled_frames([str(broken)], [])
    with pytest.raises(UsageError, match=r"clip 'clips/clip0\.mp4' is undecodable .* \(3 more labelled frames"):
        check_complete(decode(labelled), labelled)


def test_other_labels_clips_or_sizes_have_another_table(table: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    same = find_frame_table("/cache", labelled, SPEC)
    assert same == find_frame_table("/cache", labelled, dataclasses.replace(SPEC, mean=(0.5, 0.5, 0.5)))
    others = [
        find_frame_table("/cache", labelled, dataclasses.replace(SPEC, height=64)),
        find_frame_table("/cache", labelled, dataclasses.replace(SPEC, resize="area")),
        find_frame_table("/cache", LabelledFrames(table=labelled.table.slice(1), clips=labelled.clips), SPEC),
    ]
    changed = {file: Clip(uri=clip.uri, etag="other", size_bytes=1) for file, clip in labelled.clips.items()}
    others.append(find_frame_table("/cache", LabelledFrames(table=labelled.table, clips=changed), SPEC))
    assert len({same.root, *(other.root for other in others)}) == 5


def test_a_table_exists_once_its_index_is_written(table: Path, tmp_path: Path) -> None:
    labelled = load_labelled_frames([str(table)], [])
    stored = FrameTable(str(tmp_path / "table"))
    assert not stored.exists()
    stored.write_index(decode(labelled))
    assert stored.exists()
    assert stored.index()["row"].to_pylist() == list(range(8))
