"""The labels table: read from CSV or Parquet, checked, merged and written.

Results of every labelling tool become this table; training and agreement read nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.merge_rows import SEVERAL, LabelRow, Rule, labels_of_severities, merge_rows
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY, SEVERITY_COLUMNS
from artifactscan.messages.text import printable
from artifactscan.storage import hub, storage_errors
from artifactscan.storage.csv_text import CsvTextError, read_text_cells, write_text_cells
from artifactscan.storage.parquet import open_plain, parquet_bytes

LABELLED = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        *(pa.field(label, pa.int8(), nullable=False) for label in LABELS),
        *(pa.field(column, pa.float64()) for column in SEVERITY_COLUMNS),
        pa.field("annotator", pa.string()),
        pa.field("note", pa.string()),
        pa.field("generator", pa.string()),
    ]
)
"""One row per labelled frame, or per frame and annotator. ``file``: path of the clip below the folder of clips;
``frame_index``: position in presentation order, from 0; each label 1 where the frame shows it, else 0; each
severity 0 (none) to 3 (gross), null in all four where the row has no grades. A row that several annotators were merged
into has the mean of their grades. ``generator``: what made the clip, such as a model or a camera; the same for all
rows of a clip, null where it is not known."""

_KEY_COLUMNS, _OPTIONAL_COLUMNS = ("file", "frame_index"), ("annotator", "note", "generator")
JUDGE_PREFIX = "judge:"
"""What the annotator of a judge's labels begins with; merged rows name their annotators with SEVERAL between them."""
ROW = "row"
"""Column with the number of a row in the file that it was read from, counted from 1; no part of LABELLED."""
HUB_LABELS_NAME = "labels.parquet"
"""Of a labels table on a model hub."""
_MAX_FRAME_INDEX = 2**31 - 1
_LOOKUP_THREADS = 32


def read_labels(uri: str, *, rule: Rule = "error") -> pa.Table:
    """Reads labels from a .csv or .parquet file, local or s3://, and returns LABELLED rows sorted by frame.

    From a model hub too: hf://datasets/org/name@revision/FILE, FILE being HUB_LABELS_NAME where none is named.
    Other columns are ignored, and spaces around the cells of a CSV, unless they are in quotes. A row with severities
    needs no labels: they are 1 from SEVERITY_POSITIVE on. Rows of one frame with the same labels are merged; ``rule``
    is for those that differ. UsageError, naming the file and the row, for a file that cannot be read, a missing column
    or value, a label other than 0 and 1, a severity outside 0 to 3, a row with some severities only, a label that its
    severity contradicts (but in a row of several annotators), different grades of a frame by one annotator, and an
    invalid frame_index.
    """
    return _to_table(merge_rows([_check_read_row(*row, uri) for row in _read_rows(uri)], rule, uri))


def read_filled_labels(uri: str, *, numbered: bool = False) -> tuple[pa.Table, int]:
    """Reads a file that people fill in; returns what ``read_labels`` with rule ``keep`` does, and a count.

    Rows without any label or grade are frames that nobody labelled yet; they are left out and counted.
    ``numbered``: the table has a further column ROW.
    """
    sheet = _read_rows(uri)
    filled = [
        (number, cells)
        for number, cells in sheet
        if any(_has_value(cells.get(name)) for name in (*LABELS, *SEVERITY_COLUMNS))
    ]
    rows = merge_rows([_check_read_row(*row, uri) for row in filled], "keep", uri)
    return _with_row_numbers(rows) if numbered else _to_table(rows), len(sheet) - len(filled)


def merge_labels(tables: Sequence[pa.Table], *, rule: Rule, source: str = "given") -> pa.Table:
    """Merges LABELLED tables as ``read_labels`` merges the rows of one; ``source`` names them in errors.

    Where all have a column ROW, errors name rows by it, and the result has it too.
    """
    cells = [row for table in tables for row in table.to_pylist()]
    numbered = bool(tables) and all(ROW in table.column_names for table in tables)
    numbers = [row[ROW] for row in cells] if numbered else range(1, len(cells) + 1)
    checked = [_check_row(number, row, source) for number, row in zip(numbers, cells, strict=True)]
    merged = merge_rows(checked, rule, source)
    return _with_row_numbers(merged) if numbered else _to_table(merged)


def split_by_annotator(table: pa.Table, name: str) -> dict[str, pa.Table]:
    """Splits LABELLED rows of rule ``keep`` by annotator; rows that name none belong to ``name``."""
    annotators = [annotator or name for annotator in table["annotator"].to_pylist()]
    column = np.array(annotators, dtype=object)
    return {annotator: table.filter(pa.array(column == annotator)) for annotator in dict.fromkeys(annotators)}


def labelled_by_judge(table: pa.Table) -> pa.ChunkedArray:
    """bool, one per LABELLED row: whether a judge labelled it, alone or merged with people."""
    return pc.match_substring_regex(pc.fill_null(table["annotator"], ""), f"(^|{SEVERAL}){JUDGE_PREFIX}")


def write_labels(table: pa.Table, uri: str) -> None:
    """Writes LABELLED rows to a .csv or .parquet file, local or s3://, atomically; UsageError where that fails.

    Without the columns that ``without_empty_columns`` leaves out.
    """
    table = without_empty_columns(table)
    if uri.lower().endswith(".csv"):
        data = write_text_cells([table.column_names, *zip(*table.to_pydict().values(), strict=True)])
    elif uri.lower().endswith(".parquet"):
        data = parquet_bytes(table)
    else:
        raise UsageError(f"labels {uri}: the name does not tell the format; end it in .csv or .parquet")
    try:
        storage.write_bytes(storage.normalise(uri), data)
    except OSError as error:
        raise UsageError(f"labels {uri} cannot be written: {storage_errors.describe(error, uri)}") from None


def without_empty_columns(table: pa.Table) -> pa.Table:
    """LABELLED rows without the severity columns where no frame is graded, and without ``generator`` where none is."""
    table = table.select(LABELLED.names).cast(LABELLED)
    if all(table[column].null_count == table.num_rows for column in SEVERITY_COLUMNS):
        table = table.drop_columns(list(SEVERITY_COLUMNS))
    return table.drop_columns(["generator"]) if table["generator"].null_count == table.num_rows else table


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
    path = hub.fetch_file(uri, "dataset", default=HUB_LABELS_NAME) if storage.is_hub(uri) else storage.normalise(uri)
    try:
        table = _read(path)
    except (pa.ArrowException, CsvTextError, OSError) as error:
        raise UsageError(f"labels {uri} cannot be read: {_reason(error, uri)}") from None
    graded = [column for column in SEVERITY_COLUMNS if column in table.column_names]
    if graded and (missing := [column for column in SEVERITY_COLUMNS if column not in graded]):
        raise UsageError(
            f"labels {uri} have a column {graded[0]} and no column {' and no column '.join(missing)}; "
            "grade all four labels or none"
        )
    needed = _KEY_COLUMNS if graded and not set(LABELS) & set(table.column_names) else (*_KEY_COLUMNS, *LABELS)
    if missing := [name for name in needed if name not in table.column_names]:
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
    with files.open_input_stream(path) as stream:
        return read_text_cells(stream.read(), needed=_KEY_COLUMNS)


def _check_read_row(number: int, cells: Mapping[str, Any], source: str) -> LabelRow:
    """As ``_check_row``; UsageError too for a label that its severity contradicts.

    Rows of several annotators, and means, may have been merged by a rule whose labels are not those of the means.
    """
    row = _check_row(number, cells, source)
    if (
        row.severities is None
        or SEVERAL in (row.annotator or "")
        or not all(one.is_integer() for one in row.severities)
    ):
        return row
    for label, value, expected, severity in zip(
        LABELS, row.labels, labels_of_severities(row.severities), row.severities, strict=True
    ):
        if value != expected:
            raise UsageError(
                f"labels {source}: row {number} has {label} {value} and severity_{label} {severity:g}, which is a "
                f"label of {expected}; correct one of the two"
            )
    return row


def _check_row(number: int, cells: Mapping[str, Any], source: str) -> LabelRow:
    """The row with the types of LABELLED; UsageError for the first cell that is wrong."""
    frame_index = _as_int(cells["frame_index"])
    if not _has_value(cells["file"]):
        raise _refusal(number, cells, "file", source, "is not the path of a clip")
    if frame_index is None or not 0 <= frame_index <= _MAX_FRAME_INDEX:
        raise _refusal(number, cells, "frame_index", source, "is not a whole number from 0")
    severities = _severities(number, cells, source)
    if severities and not any(_has_value(cells.get(label)) for label in LABELS):
        labels = labels_of_severities(severities)
    else:
        labels = _labels(number, cells, source)
    others = (str(cells[name]) if _has_value(cells.get(name)) else None for name in _OPTIONAL_COLUMNS)
    return LabelRow(number, str(cells["file"]), frame_index, labels, severities, *others)


def _labels(number: int, cells: Mapping[str, Any], source: str) -> tuple[int, ...]:
    labels = tuple(_as_int(cells.get(label)) for label in LABELS)
    for label, value in zip(LABELS, labels, strict=True):
        if value not in (0, 1):
            column = label if label in cells else f"severity_{label}"  # a table of grades only
            raise _refusal(number, cells, column, source, "is neither 0 nor 1")
    return cast(tuple[int, ...], labels)


def _severities(number: int, cells: Mapping[str, Any], source: str) -> tuple[float, ...] | None:
    given = [column for column in SEVERITY_COLUMNS if _has_value(cells.get(column))]
    if not given:
        return None
    if missing := [column for column in SEVERITY_COLUMNS if column not in given]:
        raise UsageError(
            f"labels {source}: row {number} has {given[0]} and no {missing[0]}; grade all four labels or none"
        )
    severities = tuple(_as_float(cells[column]) for column in SEVERITY_COLUMNS)
    for column, severity in zip(SEVERITY_COLUMNS, severities, strict=True):
        if severity is None and re.fullmatch(r"\d+,\d+", str(cells[column])):
            raise _refusal(number, cells, column, source, "has a comma before its decimals where a point is needed")
        if severity is None or not 0 <= severity <= MAX_SEVERITY:
            raise _refusal(number, cells, column, source, f"is not a grade from 0 to {MAX_SEVERITY}")
    return cast(tuple[float, ...], severities)


def _refusal(number: int, cells: Mapping[str, Any], column: str, source: str, why: str) -> UsageError:
    value = cells.get(column)
    if not _has_value(value):
        return UsageError(f"labels {source}: row {number} has no {column}; fill it in or remove the row")
    shown = _quoted(str(value))
    return UsageError(f"labels {source}: row {number} has {column} {shown}, which {why}; correct it or remove the row")


def _has_value(cell: Any) -> bool:
    return cell is not None and cell != "" and cell == cell  # pandas writes a missing value as NaN


def _as_float(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _as_int(cell: Any) -> int | None:
    value = _as_float(cell)
    return int(value) if value is not None and value.is_integer() else None


def _with_row_numbers(rows: list[LabelRow]) -> pa.Table:
    return _to_table(rows).append_column(ROW, pa.array([row.number for row in rows], pa.int64()))


def _to_table(rows: list[LabelRow]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _KEY_COLUMNS}
    columns |= {label: [row.labels[n] for row in rows] for n, label in enumerate(LABELS)}
    for n, column in enumerate(SEVERITY_COLUMNS):
        columns[column] = [row.severities[n] if row.severities else None for row in rows]
    columns |= {name: [getattr(row, name) for row in rows] for name in _OPTIONAL_COLUMNS}
    return pa.table(columns, schema=LABELLED)


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
        raise UsageError(f"clip {_quoted(file)} cannot be looked up: {storage_errors.describe(error, file)}") from None


def _reason(error: Exception, uri: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return storage_errors.describe(error, uri) if isinstance(error, OSError) else " ".join(str(error).split())


def _quoted(text: str) -> str:
    return f"'{printable(text, 80)}'"
