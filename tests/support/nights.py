"""The record of a night as tests of audits need it."""

from dataclasses import replace
from typing import Any

from artifactscan.audit.night import Night, Verdict

FIRST, SECOND = "20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"


def a_night(name: str = FIRST, **changes: Any) -> Night:
    night = Night(
        night=name,
        corpus="/corpus",
        started="2026-01-01T03:00:00+00:00",
        finished="2026-01-01T03:10:00+00:00",
        scorer=FIRST,
        spec_digest="spec",
        spec={"sample_fps": 2.0},
        checkpoint={"digest": "c"},
        versions={"av": "18"},
        tables="tables-0",
        runs=("run1", "run2"),
        counts={"listed": 3},
        outcomes={"scored": 3},
        standing_outcomes={"scored": 3},
        standing_rates={"motion": 0.5},
        baseline=(),
        thresholds={"motion": 0.5},
        events={"min_frames": 1},
        policy={},
        verdict=Verdict(code=1, headline="worse", reasons=("motion rose",)),
        notes=("a note",),
        settings={"groups": None},
    )
    return replace(night, **changes)
