"""The one table of labelled frames: read from CSV or Parquet, checked, merged and written.

Whoever labels and with whatever tool, it ends up in this table; training and agreement read nothing else.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.text import printable

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
"""What becomes of a frame that is labelled differently: a UsageError; 1 where any, all or most annotators say so; or
every annotator's row is kept."""
RULES: tuple[str, ...] = get_args(Rule)

_KEY = ["file", "frame_index"]
_LABELS = list(LABELS)
_REQUIRED = [*_KEY, *_LABELS]
_MAX_FRAME_INDEX = 2**31 - 1
_LOOKUP_THREADS = 32
_CSV = pa_csv.ParseOptions(newlines_in_values=True)


def read_labels(uri: str, *, rule: Rule = "error") -> pa.Table:
    """Reads labels from a .csv or .parquet file, local or s3://, and returns LABELLED rows sorted by frame.

    Columns that the table does not have are left out. Rows that say the same of a frame are merged; ``rule`` says
    what becomes of those that do not. UsageError, naming the file, the row and the way out, for a file that cannot
    be read, a column or a value that is missing, a label other than 0 and 1, a frame_index that is none.
    """
    return _to_table(_merged(_checked(_read_sheet(uri), uri), rule, uri))


def read_filled_labels(uri: str) -> tuple[pa.Table, int]:
    """Reads a sheet that people fill in: like ``read_labels`` with rule ``keep``, but for rows with no label at all.

    Those are frames that nobody labelled yet; they are left out, and their number is the second thing returned.
    """
    sheet = _read_sheet(uri)
    blank = (sheet[_LABELS].isna() | (sheet[_LABELS] == "")).all(axis=1)
    return _to_table(_merged(_checked(sheet[~blank], uri), "keep", uri)), int(blank.sum())


def merge_labels(tables: Sequence[pa.Table], *, rule: Rule, source: str = "given") -> pa.Table:
    """Merges LABELLED tables as ``read_labels`` merges the rows of one; ``source`` names them in errors."""
    frames = [table.to_pandas() for table in tables]
    rows = pd.concat(frames or [LABELLED.empty_table().to_pandas()], ignore_index=True)
    return _to_table(_merged(rows.assign(row=np.arange(1, len(rows) + 1)), rule, source))


def write_labels(table: pa.Table, uri: str) -> None:
    """Writes LABELLED rows to a .csv or .parquet file, local or s3://, whole or not at all."""
    table = table.select(LABELLED.names).cast(LABELLED)
    if uri.lower().endswith(".csv"):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(LABELLED.names)
        writer.writerows(zip(*table.to_pydict().values(), strict=True))
        data = text.getvalue().encode()
    elif uri.lower().endswith(".parquet"):
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue()
    else:
        raise UsageError(f"labels {uri}: the name does not tell the format; end it in .csv or .parquet")
    try:
        storage.write_bytes(storage.normalise(uri), data)
    except OSError as error:
        raise UsageError(f"labels {uri} cannot be written: {storage.reason(error, uri)}") from None


def check_against_clips(table: pa.Table, clips: str) -> dict[str, str]:
    """Finds the clip of every ``file`` of LABELLED rows and returns file → uri.

    A file is looked for below ``clips``, a folder or s3:// prefix; where its path begins with that folder's own name
    (``clips/a.mp4`` in ``…/clips``), below the folder above it too. UsageError for a file that is not there, and for
    two files that are one clip.
    """
    root = storage.normalise(clips)
    files = sorted(set(table["file"].to_pylist()))
    with ThreadPoolExecutor(_LOOKUP_THREADS) as pool:
        found = dict(zip(files, pool.map(lambda file: _find(file, root), files), strict=True))
    missing = [file for file, uri in found.items() if uri is None]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"labels name {_shown(missing[0])}{others}, which --clips {clips} does not have; "
            "give the folder that the paths in column `file` start from"
        )
    uris = {file: uri for file, uri in found.items() if uri is not None}
    first: dict[str, str] = {}
    for file, uri in uris.items():
        if (other := first.setdefault(uri, file)) != file:
            raise UsageError(f"labels name the clip {uri} twice, as {other!r} and {file!r}; use one of the two names")
    return uris


def _read_sheet(uri: str) -> pd.DataFrame:
    """The columns of LABELLED that a .csv or .parquet file has, as they stand there; UsageError if it is neither."""
    try:
        table = _read(storage.normalise(uri))
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"labels {uri} cannot be read: {_said(error, uri)}") from None
    if missing := [name for name in _REQUIRED if name not in table.column_names]:
        raise UsageError(
            f"labels {uri} have no column {' and no column '.join(missing)}; "
            f"the columns are {', '.join(table.column_names) or 'none'}"
        )
    if repeated := {name for name in table.column_names if table.column_names.count(name) > 1}:
        raise UsageError(f"labels {uri} have more than one column {min(repeated)}; remove all but one")
    return table.select([name for name in LABELLED.names if name in table.column_names]).to_pandas()


def _read(uri: str) -> pa.Table:
    files, path = storage.filesystem(uri)
    if uri.lower().endswith(".parquet"):
        return pq.ParquetFile(path, filesystem=files).read()
    if not uri.lower().endswith(".csv"):
        raise UsageError(f"labels {uri}: the name does not tell the format; end it in .csv or .parquet")
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(LABELLED.names, pa.string()))
    with files.open_input_stream(path) as stream:
        return pa_csv.read_csv(stream, parse_options=_CSV, convert_options=as_text)


def _checked(sheet: pd.DataFrame, source: str) -> pd.DataFrame:
    """The sheet with the types of LABELLED and a column ``row``, counted from 1; UsageError for the first bad cell."""
    rows = pd.DataFrame({"row": sheet.index + 1}, index=sheet.index)
    rows["file"] = _text(sheet["file"])
    _refuse(rows["file"].isna(), sheet, "file", source, "is not the path of a clip")
    index = pd.to_numeric(sheet["frame_index"], errors="coerce")
    whole = index.between(0, _MAX_FRAME_INDEX) & (index % 1 == 0)
    _refuse(~whole, sheet, "frame_index", source, "is not a whole number from 0")
    rows["frame_index"] = index.astype(np.int32)
    for label in LABELS:
        value = pd.to_numeric(sheet[label], errors="coerce")
        _refuse(~value.isin([0, 1]), sheet, label, source, "is neither 0 nor 1")
        rows[label] = value.astype(np.int8)
    for name in ("annotator", "note"):
        rows[name] = _text(sheet[name]) if name in sheet else None
    return rows


def _refuse(bad: pd.Series, sheet: pd.DataFrame, column: str, source: str, why: str) -> None:
    if not bad.any():
        return
    row = bad.idxmax()
    value = sheet[column].loc[row]
    if pd.isna(value) or value == "":
        raise UsageError(f"labels {source}: row {row + 1} has no {column}; fill it in or remove the row")
    raise UsageError(
        f"labels {source}: row {row + 1} has {column} {_shown(str(value))}, which {why}; correct it or remove the row"
    )


def _text(column: pd.Series) -> pd.Series:
    """Strings, None where there is nothing."""
    return column.astype(object).map(lambda value: None if pd.isna(value) or value == "" else str(value))


def _merged(rows: pd.DataFrame, rule: Rule, source: str) -> pd.DataFrame:
    if rule not in RULES:
        raise UsageError(f"the rule for frames labelled differently is {rule!r}, not one of {', '.join(RULES)}")
    rows = rows.sort_values([*_KEY, "row"], kind="stable")
    if rule == "keep":
        groups = [*_KEY, "annotator"]
        named = rows[rows["annotator"].notna()]
        _refuse_contradictions(named, groups, source)
        return rows.drop_duplicates([*groups, *_LABELS])
    if not rows.duplicated(_KEY).any():
        return rows
    if rule == "error":
        _refuse_contradictions(rows, _KEY, source)
    merged = []
    for _, group in rows.groupby(_KEY, sort=False):
        first = group.iloc[0].to_dict()
        if len(group) > 1:
            first |= _votes(group, rule, source)
            first |= {name: _joined(group[name]) for name in ("annotator", "note")}
        merged.append(first)
    return pd.DataFrame(merged)


def _refuse_contradictions(rows: pd.DataFrame, key: list[str], source: str) -> None:
    distinct = rows.drop_duplicates([*key, *_LABELS])
    again = distinct.duplicated(key)
    if not again.any():
        return
    second = distinct[again].iloc[0]
    first = distinct[(distinct[key] == second[key]).all(axis=1)].iloc[0]
    differing = next(label for label in LABELS if first[label] != second[label])
    way_out = "give a rule to merge them: any, all or majority" if key == _KEY else "keep the one that holds"
    raise UsageError(
        f"labels {source}: rows {first['row']} and {second['row']} label frame {second['frame_index']} of "
        f"{_shown(second['file'])} differently ({differing} {first[differing]} and {second[differing]}); {way_out}"
    )


def _votes(group: pd.DataFrame, rule: Rule, source: str) -> Mapping[str, int]:
    """The labels of one frame by a rule; an annotator who says the same twice has one vote."""
    named = group["annotator"].notna()
    ballots = pd.concat([group[named].drop_duplicates(["annotator", *_LABELS]), group[~named]])[_LABELS]
    share = ballots.mean()
    if rule == "any":
        return (share > 0).astype(int).to_dict()
    if rule == "all":
        return (share == 1).astype(int).to_dict()
    tied = share[share == 0.5].index
    if rule == "majority" and len(tied):
        frame = group.iloc[0]
        raise UsageError(
            f"labels {source}: {tied[0]} of frame {frame['frame_index']} of {_shown(frame['file'])} has as many votes "
            "for 0 as for 1, so there is no majority; add a vote, or use the rule any or all"
        )
    return (share > 0.5).astype(int).to_dict()


def _joined(column: pd.Series) -> str | None:
    values = [value for value in column if isinstance(value, str)]
    return "; ".join(dict.fromkeys(values)) or None


def _to_table(rows: pd.DataFrame) -> pa.Table:
    ordered = rows.sort_values([*_KEY, "row"], kind="stable")
    columns: list[Any] = [
        pa.array([None if pd.isna(value) else value for value in ordered[field.name]], field.type) for field in LABELLED
    ]
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
        raise UsageError(f"clip {_shown(file)} cannot be looked up: {storage.reason(error, file)}") from None


def _said(error: Exception, uri: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return storage.reason(error, uri) if isinstance(error, OSError) else " ".join(str(error).split())


def _shown(text: str) -> str:
    return f"'{printable(text, 80)}'"
