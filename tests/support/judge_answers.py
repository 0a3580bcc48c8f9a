"""ANSWERS rows for tests."""

from typing import Any

import pyarrow as pa

from artifactscan.judge.judgement_tables import ANSWERS
from artifactscan.labels import SEVERITY_COLUMNS


def answer(
    frame: int, grades: str | None, *, file: str = "a.mp4", ask: int = 0, outcome: str = "", reason: str = "why"
) -> dict[str, Any]:
    """An ANSWERS row; ``grades``: four digits, None for one that is failed or has another ``outcome``."""
    row: dict[str, Any] = {"file": file, "frame_index": frame, "ask": ask, "neighbours": 2, "seconds": 1.0}
    row |= {"requests": 1, "prompt_tokens": 100, "completion_tokens": 10}
    if grades is None:
        return row | {"outcome": outcome or "failed", "reason": reason}
    return row | {"outcome": "judged", "note": "n"} | dict(zip(SEVERITY_COLUMNS, map(int, grades), strict=True))


def answers_table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in ANSWERS.names} for row in rows], ANSWERS)
