"""The frame table: labelled frames decoded once, with the pixels that the scoring job would see.

FOLDER/<key>/parts/*.parquet   one row per labelled frame, with its pixels
FOLDER/<key>/index.parquet     the same without pixels; written last: a folder with an index is complete
FOLDER/<key>.lease.json        held by the job that decodes
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from artifactscan import storage
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.decode.sandbox.protocol import frames_within
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DECODING_VERSION, DecodeResult, DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.storage.digest import digest
from artifactscan.storage.parquet import read_table, write_table
from artifactscan.training.labelled_frames import LabelledFrames

SEGMENT_BYTES = 16 << 20
"""Pixels per decoded segment: every frame of a clip is decoded and few are kept, so memory stays small."""

TARGET_COLUMNS: tuple[str, ...] = tuple(f"target_{label}" for label in LABELS)

_Y = [pa.field(f"y_{label}", pa.int8(), nullable=False) for label in LABELS]
_TARGETS = [pa.field(column, pa.float32(), nullable=False) for column in TARGET_COLUMNS]

FRAME_TABLE = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64()),
        *_Y,
        *_TARGETS,
        pa.field("pixels", pa.large_binary()),
        pa.field("problem", pa.string()),
    ]
)
"""One row per labelled frame. ``row`` is the row number in LabelledFrames, ``target_…`` are its targets; ``pixels`` is
uint8 RGB, (height, width, 3) in C order. ``problem`` says why a frame could not be decoded; then ``pixels`` is null."""

INDEX = pa.schema([field for field in FRAME_TABLE if field.name not in ("pixels", "problem")])

CLIPS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field(
            "wanted",
            pa.list_(pa.struct([FRAME_TABLE.field("row"), FRAME_TABLE.field("frame_index"), *_Y, *_TARGETS])),
        ),
    ]
)
"""One row per clip to decode, with its labelled frames."""


@dataclass(frozen=True)
class FrameTable:
    """The stored frames of one set of labels at one input size."""

    root: str
    """Folder, local or s3://."""

    @property
    def parts(self) -> str:
        return storage.join(self.root, "parts")

    @property
    def lease(self) -> str:
        """The lease of the job that decodes."""
        return f"{self.root}.lease.json"

    @property
    def index_uri(self) -> str:
        return storage.join(self.root, "index.parquet")

    def exists(self) -> bool:
        return storage.exists(self.index_uri)

    def index(self) -> pa.Table:
        """INDEX rows in the order of the labels; version 0.1.0 wrote them without targets."""
        return read_table(self.index_uri)

    def write_index(self, index: pa.Table) -> None:
        """Marks the parts as complete; ``index`` has the columns of INDEX, its rows in any order."""
        write_table(index.select(INDEX.names).cast(INDEX).sort_by("row"), self.index_uri)


def find_frame_table(folder: str, labelled: LabelledFrames, spec: InputSpec) -> FrameTable:
    """The table of these labels at this input size, written already or not."""
    etags = [(file, labelled.clips[file].etag) for file in sorted(labelled.clips)]
    pixels = [spec.height, spec.width, spec.resize, DECODING_VERSION]
    return FrameTable(storage.join(storage.normalise(folder), digest([labelled.digest, etags, pixels])))


def every_frame_settings(spec: InputSpec, decoding: DecodeSettings | None = None) -> DecodeSettings:
    """The scoring job's decode settings, at a rate that samples every frame.

    A labelled frame need not be one that the scoring job samples; a frame's pixels are the same at any rate.
    """
    every = replace(decoding or DecodeSettings(input=spec), input=spec, sample_fps=EVERY_FRAME_FPS)
    return replace(every, segment_frames=frames_within(SEGMENT_BYTES, every))


def clips_to_decode(labelled: LabelledFrames) -> pa.Table:
    """CLIPS rows, largest object first, so that no long clip is decoded last."""
    wanted: dict[str, list[dict[str, float]]] = {file: [] for file in labelled.clips}
    for row, (cells, targets) in enumerate(zip(labelled.table.to_pylist(), labelled.targets.tolist(), strict=True)):
        y = {f"y_{label}": cells[label] for label in LABELS}
        of_frame = {**y, **dict(zip(TARGET_COLUMNS, targets, strict=True))}
        wanted[cells["file"]].append({"row": row, "frame_index": cells["frame_index"], **of_frame})
    rows = [
        {
            "video_id": video_id(clip.uri, clip.etag),
            "uri": clip.uri,
            "etag": clip.etag,
            "size_bytes": clip.size_bytes,
            "file": file,
            "wanted": wanted[file],
        }
        for file, clip in labelled.clips.items()
    ]
    return pa.Table.from_pylist(rows, CLIPS).sort_by([("size_bytes", "descending"), ("file", "ascending")])


def select_labelled_frames(clip: dict[str, Any], segments: Iterable[Segment]) -> pa.Table:
    """FRAME_TABLE rows of one CLIPS row: its labelled frames with their pixels, or why they have none."""
    wanted = {frame["frame_index"]: frame for frame in clip["wanted"]}
    taken: dict[int, tuple[float, bytes]] = {}
    attempt, result = None, None
    for segment in segments:
        if segment.attempt != attempt:  # the next decoder starts from the first frame
            attempt, taken = segment.attempt, {}
        pixels = np.frombuffer(segment.pixels, np.uint8)
        for frame, index, pts_s in zip(
            pixels.reshape(len(segment.frame_index), -1) if len(segment.frame_index) else (),
            segment.frame_index,
            segment.pts_s,
            strict=True,
        ):
            if index in wanted:
                taken[index] = (pts_s, frame.tobytes())
        result = segment.result or result
    assert result is not None, f"the segments of {clip['uri']} have no result"
    rows = []
    for index, frame in wanted.items():
        pts_s, pixels = taken.get(index, (None, None))
        problem = None if pixels is not None else describe_problem(clip["file"], index, result)
        rows.append({**frame, "file": clip["file"], "pts_s": pts_s, "pixels": pixels, "problem": problem})
    return pa.Table.from_pylist(rows, FRAME_TABLE)


def labels_and_targets(frames: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """int8 labels and float32 targets, each (frames, labels), of FRAME_TABLE rows.

    Where the rows have no targets, as version 0.1.0 wrote them, these are the labels.
    """
    y = np.stack([frames[field.name].to_numpy() for field in _Y], axis=1)
    if TARGET_COLUMNS[0] not in frames.column_names:
        return y, y.astype(np.float32)
    return y, np.stack([frames[column].to_numpy() for column in TARGET_COLUMNS], axis=1)


def check_complete(table: pa.Table, labelled: LabelledFrames) -> None:
    """Raises UsageError with the first problem unless each labelled frame has its pixels.

    ``table``: the columns row and problem of FRAME_TABLE.
    """
    refuse_problems(table.sort_by("row")["problem"].drop_null().to_pylist())
    if sorted(table["row"].to_pylist()) != list(range(labelled.table.num_rows)):
        raise AssertionError(f"{labelled.table.num_rows} frames are labelled, {table.num_rows} were decoded")


def refuse_problems(problems: list[str]) -> None:
    """UsageError with the first of the problems of labelled frames, and how many more there are."""
    if problems:
        others = f" ({len(problems) - 1:,} more labelled frames cannot be decoded)" if len(problems) > 1 else ""
        raise UsageError(problems[0] + others)


def describe_problem(file: str, frame_index: int, result: DecodeResult) -> str:
    name = f"'{printable(file, 80)}'"
    if result.outcome not in HAS_FRAMES:
        return (
            f"clip {name} is {result.outcome} ({printable(result.reason or 'no reason given', 200)}), and its frame "
            f"{frame_index} is labelled; replace the clip, or remove its labels"
        )
    frames = result.facts.frames_in_video
    if frames is not None and frame_index >= frames:
        return (
            f"labels name frame {frame_index} of {name}, which has {frames} frames, 0 to {frames - 1}; "
            "correct the label or remove it"
        )
    reason = printable(result.reason or "not decoded", 200)
    return (
        f"labels name frame {frame_index} of {name}, which could not be decoded ({reason}); "
        "remove the label, or replace the clip"
    )
