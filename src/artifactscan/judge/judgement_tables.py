"""The tables of a judgement: an answer per question, an outcome per frame, and the labels that are believed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa

from artifactscan.annotation.labels_table import LABELLED
from artifactscan.errors import LedgerError
from artifactscan.judge.frames_to_judge import FrameKey
from artifactscan.labels import LABELS, SEVERITY_COLUMNS, SEVERITY_POSITIVE

JUDGED, REFUSED, FAILED, CONTRADICTED = "judged", "refused", "failed", "contradicted"
"""Outcomes of a frame. judged: it has grades; refused: the judge declines; failed: no answer came, or none that is
believed; contradicted: two answers about it contradict each other, and neither is believed."""
OUTCOMES = (JUDGED, REFUSED, FAILED, CONTRADICTED)

CONTRADICTION = 2
"""Grades of one label this far apart contradict each other: nothing against clear, slight against gross. Neighbouring
grades are a matter of degree."""
MAX_CONTRADICTED = 0.2
"""Labels of a judge that contradicts itself on more than this share of the frames asked about twice are not used."""

_KEY = [pa.field("file", pa.string(), nullable=False), pa.field("frame_index", pa.int32(), nullable=False)]

ANSWERS = pa.schema(
    [
        *_KEY,
        pa.field("ask", pa.int8(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *(pa.field(column, pa.int8()) for column in SEVERITY_COLUMNS),
        pa.field("note", pa.string()),
        pa.field("neighbours", pa.int8(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("requests", pa.int32(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
"""One row per question. ``ask``: 0, or 1 for the second one about a frame; ``outcome``: judged, refused or failed;
``reason``: why there are no grades; ``note``: the judge's reason; ``neighbours``: frames shown beside it; ``model``: as
the endpoint names it; ``requests``, tokens and ``seconds``: what the answer took."""

FRAME_OUTCOMES = pa.schema(
    [
        *_KEY,
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *(pa.field(column, pa.float64()) for column in SEVERITY_COLUMNS),
        pa.field("note", pa.string()),
        pa.field("answers", pa.int8(), nullable=False),
        pa.field("neighbours", pa.int8(), nullable=False),
        pa.field("requests", pa.int32(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
    ]
)
"""One row per frame. Severities: the mean of its ``answers``, null unless it is judged."""


def unreadable_answer(ask: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The ANSWERS row of a question that was not put, as an image of it cannot be read; ``ask``: a row of ASKS."""
    row = dict.fromkeys(ANSWERS.names) | {name: ask[name] for name in ("file", "frame_index", "ask")}
    counts = dict.fromkeys(("neighbours", "requests", "prompt_tokens", "completion_tokens"), 0)
    return row | counts | {"outcome": FAILED, "reason": reason, "seconds": 0.0}


def merge_answers(tables: Sequence[pa.Table]) -> pa.Table:
    """ANSWERS with one row per question: the first that is judged or refused, else the last."""
    best: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in (row for table in tables for row in table.to_pylist()):
        key = row["file"], row["frame_index"], row["ask"]
        if key not in best or best[key]["outcome"] == FAILED:
            best[key] = row
    return pa.Table.from_pylist([best[key] for key in sorted(best)], ANSWERS)


def frame_outcomes(answers: pa.Table, frames: Iterable[FrameKey]) -> pa.Table:
    """FRAME_OUTCOMES of the ``frames`` from merged ANSWERS; LedgerError for a frame without an answer."""
    by_frame: defaultdict[FrameKey, list[dict[str, Any]]] = defaultdict(list)
    for row in answers.to_pylist():
        by_frame[row["file"], row["frame_index"]].append(row)
    rows = []
    for key in sorted(set(frames)):
        if not by_frame[key]:
            raise LedgerError(f"the ledger did not close: frame {key[1]} of {key[0]} has no outcome")
        rows.append({"file": key[0], "frame_index": key[1], **_frame_outcome(by_frame[key])})
    return pa.Table.from_pylist(rows, FRAME_OUTCOMES)


def _frame_outcome(asked: list[dict[str, Any]]) -> dict[str, Any]:
    """The outcome of a frame from its ANSWERS rows."""
    judged = [row for row in asked if row["outcome"] == JUDGED]
    found: dict[str, Any] = {name: sum(row[name] for row in asked) for name in FRAME_OUTCOMES.names[-3:]}
    found |= {"answers": len(judged), "neighbours": asked[0]["neighbours"]}
    if not judged:
        refused = next((row for row in asked if row["outcome"] == REFUSED), asked[0])
        return found | {"outcome": refused["outcome"], "reason": refused["reason"]}
    if apart := [label for label, grades in _grades(judged).items() if max(grades) - min(grades) >= CONTRADICTION]:
        grades = " and ".join(map(str, _grades(judged)[apart[0]]))
        return found | {"outcome": CONTRADICTED, "reason": f"asked twice, the judge grades {apart[0]} {grades}"}
    means = {column: fmean(row[column] for row in judged) for column in SEVERITY_COLUMNS}
    return found | means | {"outcome": JUDGED, "reason": None, "note": judged[0]["note"]}


def _grades(judged: list[dict[str, Any]]) -> dict[str, list[int]]:
    return {label: [row[column] for row in judged] for label, column in zip(LABELS, SEVERITY_COLUMNS, strict=True)}


def count_contradictions(outcomes: pa.Table) -> tuple[int, int]:
    """The frames of FRAME_OUTCOMES whose answers contradict each other, and all those with two answers."""
    contradicted = outcomes["outcome"].to_pylist().count(CONTRADICTED)
    return contradicted, sum(answers > 1 for answers in outcomes["answers"].to_pylist())


def labels_of(outcomes: pa.Table, annotator: str) -> pa.Table:
    """LABELLED rows of the frames in FRAME_OUTCOMES that are judged."""
    rows = []
    for row in outcomes.to_pylist():
        if row["outcome"] == JUDGED:
            labels = {
                label: int(row[column] >= SEVERITY_POSITIVE)
                for label, column in zip(LABELS, SEVERITY_COLUMNS, strict=True)
            }
            rows.append({**row, **labels, "annotator": annotator})
    return pa.Table.from_pylist([{name: row.get(name) for name in LABELLED.names} for row in rows], LABELLED)
