"""Labels, an index of frames, and odd file names, for tests of labelling."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from artifactscan.annotation.frame_index import INDEX, image_name
from artifactscan.annotation.labels_table import LABELLED
from artifactscan.corpus.listed_object import video_id
from artifactscan.labels import LABELS, SCORE_COLUMNS, SEVERITY_COLUMNS
from artifactscan.storage.parquet import write_table

ODD_CHARACTERS = " '\"%2F#?&<>;,=@\\\n\t-.éβ動🎬"
ODD_FILES = st.text(ODD_CHARACTERS + "abAB/", min_size=1, max_size=12)


def label_row(file: str, frame: int, labels: str, annotator: str | None = None, note: str | None = None) -> dict:
    """A row of the labels table without grades; ``labels``: four digits, in label order."""
    cells = dict(zip(LABELS, map(int, labels), strict=True)) | dict.fromkeys(SEVERITY_COLUMNS)
    return {"file": file, "frame_index": frame, **cells, "annotator": annotator, "note": note, "generator": None}


def graded_row(
    file: str, frame: int, grades: Sequence[float | str], annotator: str | None = None, note: str | None = None
) -> dict:
    """A row of the labels table with its ``grades``, four in label order, such as "0123", and the labels they give."""
    severities = [float(grade) for grade in grades]
    shown = "".join(str(int(severity >= 1.5)) for severity in severities)
    return label_row(file, frame, shown, annotator, note) | dict(zip(SEVERITY_COLUMNS, severities, strict=True))


def labels_table(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LABELLED)


def make_index(frames: list[tuple[str, int]], scores: list[float] | None = None) -> pa.Table:
    """An index of these frames, given by file and number; ``scores``: the same four for each."""
    rows: list[dict[str, Any]] = []
    for file, frame in frames:
        video = video_id(f"/clips/{file}", "1")
        row = {"image": f"frames/{image_name(file, video, frame, 'png')}", "video_id": video, "uri": f"/clips/{file}"}
        row |= {"file": file, "frame_index": frame, "pts_s": frame / 24, "width": 160, "height": 96, "value": None}
        rows.append(row | dict(zip(SCORE_COLUMNS, scores or [None] * len(LABELS), strict=True)))
    return pa.Table.from_pylist(rows, INDEX)


def write_index(folder: Path, index: pa.Table) -> str:
    uri = str(folder / "index.parquet")
    write_table(index, uri)
    return uri
