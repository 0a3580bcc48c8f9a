"""Exports frames to labelling tools, and imports their results as labels table rows."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import pyarrow as pa

from artifactscan import storage
from artifactscan.annotation.cvat import Untagged, read_cvat, write_cvat
from artifactscan.annotation.cvat_tracks import read_cvat_tracks
from artifactscan.annotation.fiftyone import read_fiftyone, write_fiftyone
from artifactscan.annotation.fiftyone_temporal import read_temporal_detections
from artifactscan.annotation.frame_index import INDEX, FrameLookup
from artifactscan.annotation.index_file import read_index_file
from artifactscan.annotation.label_studio import read_label_studio, write_label_studio
from artifactscan.annotation.label_studio_timeline import read_timelines
from artifactscan.annotation.labels_table import LABELLED, Rule, merge_labels, read_filled_labels
from artifactscan.annotation.video_index import VIDEO_INDEX, VideoLookup
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SCORE_COLUMNS, SEVERITY_COLUMNS
from artifactscan.messages.text import printable
from artifactscan.storage import storage_errors
from artifactscan.storage.csv_text import write_text_cells

Tool = Literal["csv", "cvat", "label-studio", "fiftyone"]
TOOLS: tuple[str, ...] = get_args(Tool)

EXPORT_FOLDER = "export"

_SHEET_COLUMNS = [*(name for name in LABELLED.names if name != "generator"), "image", "pts_s", *SCORE_COLUMNS]


def export_frames(
    tool: Tool,
    index: pa.Table,
    root: str,
    *,
    labels: pa.Table,
    thresholds: Mapping[str, float],
    model_version: str,
) -> list[str]:
    """Writes INDEX rows for a tool into ``root``/export/<tool> and returns the uris written.

    ``root``: the folder that the index's image paths start from. ``labels``: LABELLED rows, one per frame, of frames
    labelled already. ``thresholds``: per label; scores that reach them become predictions in tools that keep
    predictions apart from labels, there named by ``model_version``.
    """
    given = {(row["file"], row["frame_index"]): row for row in labels.to_pylist()}
    if tool == "csv":
        files = {"labels.csv": _sheet(index, given)}
    elif tool == "cvat":
        files = write_cvat(index, labels=given)
    elif tool == "label-studio":
        files = write_label_studio(index, root=root, labels=given, thresholds=thresholds, model_version=model_version)
    else:
        files = write_fiftyone(index, labels=given, thresholds=thresholds)
    folder = storage.join(root, EXPORT_FOLDER, tool)
    written = [storage.join(folder, name) for name in files]
    for uri, data in zip(written, files.values(), strict=True):
        storage.write_bytes(uri, data)
    return written


def _sheet(index: pa.Table, given: Mapping[tuple[str, int], Mapping[str, Any]]) -> bytes:
    """A CSV to fill in by hand, with scores beside the labels; frames not labelled yet have empty cells."""
    rows = [{**row, **given.get((row["file"], row["frame_index"]), {})} for row in index.to_pylist()]
    return write_text_cells([_SHEET_COLUMNS, *([row.get(column) for column in _SHEET_COLUMNS] for row in rows)])


def import_labels(
    tool: Tool,
    source: str,
    index_uri: str,
    *,
    annotator: str | None = None,
    untagged: Untagged = "error",
    rule: Rule = "keep",
) -> tuple[pa.Table, int]:
    """Reads what a tool exported; returns LABELLED rows and the number of frames that nobody labelled yet.

    By the index of an extraction these are labels of images; by that of an export of events, segments of videos, which
    become labels of the sampled frames of each clip that somebody looked at. Each is refused with an index of the
    other.

    A frame that several people labelled has a row for each, unless ``rule`` merges them. ``annotator`` replaces the
    names from the tool; ``untagged`` is for CVAT. Where a tool's file has grades, frames without a label have grade 0
    for all of them, as tools store nothing for these. UsageError for a file that cannot be read or is damaged, for an
    unknown image or label, for grades outside 0 to MAX_SEVERITY or of some labels only, and where one annotator labels
    or grades a frame in two ways.
    """
    lookup = _find_lookup(index_uri, source)
    if tool == "csv":
        table, unlabelled = read_filled_labels(source, numbered=True)
        for file, frame_index in zip(table["file"].to_pylist(), table["frame_index"].to_pylist(), strict=True):
            lookup.check_frame(file, frame_index)
    else:
        found = list(_rows(tool, _read(source), lookup, untagged))
        rows = [row for row in found if row is not None]
        table = pa.Table.from_pylist(_grade_clean_frames(rows), LABELLED)
        unlabelled = len(found) - len(rows)
    if not table.num_rows:
        raise UsageError(f"{source} holds no labelled frame; label some, then export again")
    replaced = set(table["annotator"].to_pylist()) - {None, annotator} if annotator else set()
    if annotator:
        names = pa.array([annotator] * table.num_rows, pa.string())
        table = table.set_column(table.column_names.index("annotator"), LABELLED.field("annotator"), names)
    try:
        table = merge_labels([table], rule="keep", source=source)
        if rule != "keep":
            table = merge_labels([table], rule=rule, source=source)
    except UsageError as error:
        if len(replaced) < 2:
            raise
        shown = ", ".join(sorted(printable(name, 40) for name in replaced))
        raise UsageError(
            f"{error}; --annotator {annotator} has replaced the names in the file ({shown}): without it they are kept"
        ) from None
    return table.select(LABELLED.names), unlabelled


def _find_lookup(index_uri: str, source: str) -> FrameLookup | VideoLookup:
    wanted = "the index.parquet of the extraction, or of the export of events, that was labelled"
    index = read_index_file(index_uri, INDEX, VIDEO_INDEX, wanted=wanted)
    return FrameLookup(index, source) if index.schema.names == INDEX.names else VideoLookup(index, source)


def _rows(
    tool: Tool, data: bytes, lookup: FrameLookup | VideoLookup, untagged: Untagged
) -> Iterator[dict[str, Any] | None]:
    if isinstance(lookup, VideoLookup):
        if tool == "cvat":
            return read_cvat_tracks(data, lookup, untagged=untagged)
        return read_timelines(data, lookup) if tool == "label-studio" else read_temporal_detections(data, lookup)
    if tool == "cvat":
        return read_cvat(data, lookup, untagged=untagged)
    return read_label_studio(data, lookup) if tool == "label-studio" else read_fiftyone(data, lookup)


def _grade_clean_frames(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if all(row[SEVERITY_COLUMNS[0]] is None for row in rows):
        return rows
    zeros = dict.fromkeys(SEVERITY_COLUMNS, 0.0)
    ungraded_clean = [row[SEVERITY_COLUMNS[0]] is None and not any(row[label] for label in LABELS) for row in rows]
    return [row | zeros if clean else row for row, clean in zip(rows, ungraded_clean, strict=True)]


def _read(uri: str) -> bytes:
    try:
        return storage.read_bytes(storage.normalise(uri))
    except FileNotFoundError:
        raise UsageError(f"{uri} is not there; give the file that the tool exported") from None
    except OSError as error:
        raise UsageError(f"{uri} cannot be read: {storage_errors.describe(error, uri)}") from None
