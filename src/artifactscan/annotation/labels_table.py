"""The labels table: read from CSV or Parquet, checked, merged and written.

Results of every labelling tool become this table; training and agreement read nothing else.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Literal, NamedTuple, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable
from artifactscan.storage import failures
from artifactscan.storage.parquet import open_plain, parquet_bytes

LABELLED = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        *(pa.field(label, pa.int8(), nullable=False) for label in LABELS),
        pa.field("annotator", pa.string()),
        pa.field("note", pa.string()),
    ]
)
"""One row per labelled frame, or per frame and annotator. ``file``: path of the clip below the folder of clips;
``frame_index``: position in presentation order, from 0; each label 1 where the frame shows it, else 0."""

Rule = Literal["error", "any", "all", "majority", "keep"]
"""How rows of one frame with different labels are merged: a UsageError; 1 where any, all or most annotators say 1; or
one row per annotator is kept."""

_KEY_COLUMNS, _OPTIONAL_COLUMNS = ("file", "frame_index"), ("annotator", "note")
_MAX_FRAME_INDEX = 2**31 - 1
_LOOKUP_THREADS = 32
_CSV = pa_csv.ParseOptions(newlines_in_values=True)


class _Row(NamedTuple):
    """A checked row of a file."""

    number: int
    """Counted from 1."""
    file: str
    frame_index: int
    labels: tuple[int, ...]
    annotator: str | None
    note: str | None

    @property
    def frame(self) -> tuple[str, int]:
        return self.file, self.frame_index


def read_labels(uri: str, *, rule: Rule = "error") -> pa.Table:
    """Reads labels from a .csv or .parquet file, local or s3://, and returns LABELLED rows sorted by frame.

    Other columns are ignored. Rows of one frame with the same labels are merged; ``rule`` is for those that differ.
    UsageError, naming the file and the row, for a file that cannot be read, a missing column or value, a label other
    than 0 and 1, and an invalid frame_index.
    """
    return _to_table(_merge([_check_row(*row, uri) for row in _read_rows(uri)], rule, uri))


def read_filled_labels(uri: str) -> tuple[pa.Table, int]:
    """Reads a file that people fill in; returns what ``read_labels`` with rule ``keep`` does, and a count.

    Rows without any label are frames that nobody labelled yet; they are left out and counted.
    """
    sheet = _read_rows(uri)
    filled = [(number, cells) for number, cells in sheet if any(_has_value(cells[label]) for label in LABELS)]
    return _to_table(_merge([_check_row(*row, uri) for row in filled], "keep", uri)), len(sheet) - len(filled)


def merge_labels(tables: Sequence[pa.Table], *, rule: Rule, source: str = "given") -> pa.Table:
    """Merges LABELLED tables as ``read_labels`` merges the rows of one; ``source`` names them in errors."""
    cells = (row for table in tables for row in table.to_pylist())
    return _to_table(_merge([_check_row(number, row, source) for number, row in enumerate(cells, 1)], rule, source))


def write_labels(table: pa.Table, uri: str) -> None:
    """Writes LABELLED rows to a .csv or .parquet file, local or s3://, atomically; UsageError where that fails."""
    table = table.select(LABELLED.names).cast(LABELLED)
    if uri.lower().endswith(".csv"):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(LABELLED.names)
        writer.writerows(zip(*table.to_pydict().values(), strict=True))
        data = text.getvalue().encode()
    elif uri.lower().endswith(".parquet"):
        data = parquet_bytes(table)
    else:
        raise UsageError(f"labels {uri}: the name does not tell the format; end it in .csv or .parquet")
    try:
        storage.write_bytes(storage.normalise(uri), data)
    except OSError as error:
        raise UsageError(f"labels {uri} cannot be written: {failures.describe(error, uri)}") from None


def check_against_clips(table: pa.Table, clips: str) -> dict[str, str]:
    """Finds the clip of every ``file`` of LABELLED rows and returns file → uri.

    A file is looked for below ``clips``, a folder or s3:// prefix; a path that begins with that folder's own name
    (``clips/a.mp4`` in ``…/clips``) also below its parent. UsageError for a file that is not there, and for two files
    that are the same clip.
    """
    root = storage.normalise(clips)
    files = sorted(set(table["file"].to_pylist()))
    with ThreadPoolExecutor(_LOOKUP_THREADS) as pool:
        found = dict(zip(files, pool.map(lambda file: _find(file, root), files), strict=True))
    missing = [file for file, uri in found.items() if uri is None]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"labels name {_quoted(missing[0])}{others}, which --clips {clips} does not have; "
            "give the folder that the paths in column `file` start from"
        )
    uris = {file: uri for file, uri in found.items() if uri is not None}
    first: dict[str, str] = {}
    for file, uri in uris.items():
        if (other := first.setdefault(uri, file)) != file:
            raise UsageError(f"labels name the clip {uri} twice, as {other!r} and {file!r}; use one of the two names")
    return uris


def _read_rows(uri: str) -> list[tuple[int, dict[str, Any]]]:
    """The unchecked rows of a .csv or .parquet file with their numbers; UsageError for a file that is neither."""
    try:
        table = _read(storage.normalise(uri))
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"labels {uri} cannot be read: {_reason(error, uri)}") from None
    if missing := [name for name in (*_KEY_COLUMNS, *LABELS) if name not in table.column_names]:
        raise UsageError(
            f"labels {uri} have no column {' and no column '.join(missing)}; "
            f"the columns are {', '.join(table.column_names) or 'none'}"
        )
    known = [name for name in table.column_names if name in LABELLED.names]
    if repeated := [name for name in known if known.count(name) > 1]:
        raise UsageError(f"labels {uri} have more than one column {repeated[0]}; remove all but one")
    return list(enumerate(table.select(known).to_pylist(), 1))


def _read(uri: str) -> pa.Table:
    files, path = storage.filesystem(uri)
    if uri.lower().endswith(".parquet"):
        return open_plain(path, filesystem=files).read()
    if not uri.lower().endswith(".csv"):
        raise UsageError(f"labels {uri}: the name does not tell the format; end it in .csv or .parquet")
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(LABELLED.names, pa.string()))
    with files.open_input_stream(path) as stream:
        return pa_csv.read_csv(stream, parse_options=_CSV, convert_options=as_text)


def _check_row(number: int, cells: Mapping[str, Any], source: str) -> _Row:
    """The row with the types of LABELLED; UsageError for the first cell that is wrong."""
    frame_index = _as_int(cells["frame_index"])
    if not _has_value(cells["file"]):
        raise _refusal(number, cells, "file", source, "is not the path of a clip")
    if frame_index is None or not 0 <= frame_index <= _MAX_FRAME_INDEX:
        raise _refusal(number, cells, "frame_index", source, "is not a whole number from 0")
    labels = tuple(_as_int(cells[label]) for label in LABELS)
    for label, value in zip(LABELS, labels, strict=True):
        if value not in (0, 1):
            raise _refusal(number, cells, label, source, "is neither 0 nor 1")
    annotator, note = (str(cells[name]) if _has_value(cells.get(name)) else None for name in _OPTIONAL_COLUMNS)
    return _Row(number, str(cells["file"]), frame_index, cast(tuple[int, ...], labels), annotator, note)


def _refusal(number: int, cells: Mapping[str, Any], column: str, source: str, why: str) -> UsageError:
    value = cells[column]
    if not _has_value(value):
        return UsageError(f"labels {source}: row {number} has no {column}; fill it in or remove the row")
    shown = _quoted(str(value))
    return UsageError(f"labels {source}: row {number} has {column} {shown}, which {why}; correct it or remove the row")


def _has_value(cell: Any) -> bool:
    return cell is not None and cell != "" and cell == cell  # pandas writes a missing value as NaN


def _as_int(cell: Any) -> int | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() else None


def _merge(rows: list[_Row], rule: Rule, source: str) -> list[_Row]:
    rows = sorted(rows, key=lambda row: (row.frame, row.number))
    merged: list[_Row] = []
    for _, same_frame in groupby(rows, key=lambda row: row.frame):
        group = list(same_frame)
        if rule == "keep":
            merged += _one_per_annotator(group, source)
        elif len(group) == 1:
            merged += group
        else:
            labels = _vote(group, rule, source)
            annotator, note = _join(row.annotator for row in group), _join(row.note for row in group)
            merged.append(group[0]._replace(labels=labels, annotator=annotator, note=note))
    return merged


def _one_per_annotator(group: list[_Row], source: str) -> list[_Row]:
    """The rows of one frame, one per annotator; of those without an annotator, one per set of labels."""
    distinct: dict[tuple, _Row] = {}
    for row in group:
        first = distinct.setdefault((row.annotator,) if row.annotator else (None, row.labels), row)
        if first.labels != row.labels:
            raise UsageError(f"{_contradiction(first, row, source)}; keep the one that holds")
    return list(distinct.values())


def _vote(group: list[_Row], rule: Rule, source: str) -> tuple[int, ...]:
    """The labels of one frame by a rule; equal rows of one annotator are one vote."""
    if rule == "error":
        if other := next((row for row in group if row.labels != group[0].labels), None):
            way_out = "give a rule to merge them: --label-rule any, all or majority"
            raise UsageError(f"{_contradiction(group[0], other, source)}; {way_out}")
        return group[0].labels
    ballots = {(row.annotator or row.number, row.labels) for row in group}
    yes = [sum(labels[n] for _, labels in ballots) for n in range(len(LABELS))]
    if rule == "any":
        return tuple(int(votes > 0) for votes in yes)
    if rule == "all":
        return tuple(int(votes == len(ballots)) for votes in yes)
    if tied := next((label for label, votes in zip(LABELS, yes, strict=True) if 2 * votes == len(ballots)), None):
        raise UsageError(
            f"labels {source}: {tied} of frame {group[0].frame_index} of {_quoted(group[0].file)} has as many votes "
            "for 0 as for 1, so there is no majority; add a vote, or use the rule any or all"
        )
    return tuple(int(2 * votes > len(ballots)) for votes in yes)


def _contradiction(first: _Row, second: _Row, source: str) -> str:
    differing = next(n for n in range(len(LABELS)) if first.labels[n] != second.labels[n])
    values = f"{LABELS[differing]} {first.labels[differing]} and {second.labels[differing]}"
    return (
        f"labels {source}: rows {first.number} and {second.number} label frame {first.frame_index} of "
        f"{_quoted(first.file)} differently ({values})"
    )


def _join(values: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(filter(None, values))) or None


def _to_table(rows: list[_Row]) -> pa.Table:
    names = (*_KEY_COLUMNS, *_OPTIONAL_COLUMNS)
    cells = [
        {**dict(zip(LABELS, row.labels, strict=True)), **{name: getattr(row, name) for name in names}} for row in rows
    ]
    return pa.Table.from_pylist(cells, LABELLED)


def _find(file: str, root: str) -> str | None:
    if "://" in file or file.startswith("/"):
        candidates = [storage.normalise(file)]
    else:
        parent, _, name = root.rpartition("/")
        candidates = [storage.join(root, file)]
        if file.startswith(f"{name}/") and not parent.endswith(":/"):
            candidates.append(storage.join(parent, file))
    try:
        return next((uri for uri in candidates if storage.exists(uri)), None)
    except OSError as error:
        raise UsageError(f"clip {_quoted(file)} cannot be looked up: {failures.describe(error, file)}") from None


def _reason(error: Exception, uri: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return failures.describe(error, uri) if isinstance(error, OSError) else " ".join(str(error).split())


def _quoted(text: str) -> str:
    return f"'{printable(text, 80)}'"
