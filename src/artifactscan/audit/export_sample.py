"""Writes a night's sample for people or a judge to label: images, index, and the files for labelling tools."""

from dataclasses import replace
from itertools import groupby
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.frame_index import INDEX
from artifactscan.annotation.labelling_tools import Tool, export_frames
from artifactscan.annotation.labels_table import LABELLED
from artifactscan.audit.formatting import counted
from artifactscan.audit.label_folder import LabelFolder
from artifactscan.audit.settings import AuditSettings
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.native_resolution import NativeResolutionDecoder
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.video import decoder_on_cpu
from artifactscan.extract.extraction_tables import make_index
from artifactscan.extract.write_frames import ImageWriter, take_frames
from artifactscan.messages.text import printable
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import write_table

_JPEG_QUALITY = 95
_UNUSED_INPUT = InputSpec(height=16, width=16)
"""Images have the size of their video."""


def export_sample(sample: pa.Table, frames: pa.Table, folder: LabelFolder, settings: AuditSettings) -> list[str]:
    """Fills ``folder`` with the sample and returns a note for each clip of it that cannot be shown.

    ``sample``: LABEL_SAMPLE; ``frames``: all FRAMES of its clips, of which those before and after each of the sample
    become images too, as motion shows only beside them. Scores are in none of the files: people who see them
    label what they say. Runs on this machine.
    """
    wanted = _with_neighbours(sample, frames)
    clips = sample.group_by(["video_id", "uri", "path", "position"], use_threads=False).aggregate([]).to_pylist()
    work, notes = [], []
    for clip, row in zip(clips, map_in_order(_work_row, clips), strict=True):
        if row is None:
            notes.append(_not_shown(clip["path"], "it was replaced or removed after it was scored"))
        else:
            work.append({**row, "wanted": wanted[clip["video_id"]]})
    extracted = _extract(work, folder, settings)
    notes += [
        _not_shown(one["file"], one["reason"] or "no frame of it was decoded") for one in extracted if not one["frames"]
    ]
    index = make_index(extracted, None)
    sheet = _sheet_rows(sample, index)
    for tool in get_args(Tool):
        export_frames(tool, sheet, folder.root, labels=LABELLED.empty_table(), thresholds={}, model_version="")
    write_table(index, folder.index)
    return notes


def _work_row(clip: dict[str, Any]) -> dict[str, Any] | None:
    """The clip as VideoReader takes it; None where it is no longer the version that was scored."""
    try:
        found = storage.stat(clip["uri"])
    except OSError:
        return None
    if video_id(clip["uri"], found.etag) != clip["video_id"]:
        return None
    return {**clip, "file": clip["path"], "etag": found.etag, "size_bytes": found.size_bytes}


def _with_neighbours(sample: pa.Table, frames: pa.Table) -> dict[str, list[int]]:
    """video_id → frame indices of the sample and of the scored frames before and after them."""
    scored: dict[str, list[int]] = {}
    for video, index in zip(*(frames[name].to_pylist() for name in ("video_id", "frame_index")), strict=True):
        scored.setdefault(video, []).append(index)
    wanted: dict[str, list[int]] = {}
    for video, index in zip(*(sample[name].to_pylist() for name in ("video_id", "frame_index")), strict=True):
        order = sorted(scored[video])
        at = order.index(index)
        wanted[video] = sorted({*wanted.get(video, []), *order[max(0, at - 1) : at + 2]})
    return wanted


def _extract(work: list[dict[str, Any]], folder: LabelFolder, settings: AuditSettings) -> list[dict[str, Any]]:
    """EXTRACTED rows of the clips, whose images are written."""
    writer = ImageWriter(root=folder.root, format="jpeg", jpeg_quality=_JPEG_QUALITY)
    decoding = replace(settings.decoding(_UNUSED_INPUT), decoder=decoder_on_cpu(settings.decoder))
    decoder = NativeResolutionDecoder(decoding)
    try:
        read = VideoReader(decoder, max_object_bytes=settings.max_object_bytes).read(work)
        by_clip = groupby(read, key=lambda pair: pair[0]["video_id"])
        rows = {row["video_id"]: row for row in work}
        return [take_frames(rows[clip], (segment for _, segment in pairs), writer) for clip, pairs in by_clip]
    finally:
        decoder.close()


def _sheet_rows(sample: pa.Table, index: pa.Table) -> pa.Table:
    """INDEX rows of the sample alone, clips in the order in which they are to be labelled."""
    place = sample.select(["video_id", "frame_index", "position"])
    rows = index.join(place, ["video_id", "frame_index"], join_type="inner")
    return rows.sort_by([("position", "ascending"), ("frame_index", "ascending")]).select(INDEX.names).cast(INDEX)


def _not_shown(path: str, reason: str) -> str:
    return f"no images of {printable(path)}, which was drawn for labelling: {reason}"


def labelling_note(sample: pa.Table, folder: LabelFolder) -> str:
    """A note on what waits to be labelled where."""
    clips = pc.count_distinct(sample["video_id"]).as_py()
    return f"{counted(sample.num_rows, 'frame')} of {counted(clips, 'clip')} wait to be labelled in {folder.sheet}"
