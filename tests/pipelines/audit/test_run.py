"""What a night says of a checkpoint whose thresholds changed since the night before."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from checkpoints import CHECKPOINT

from artifactscan.labels import LABELS
from artifactscan.pipelines.audit.run import _note_on_thresholds
from artifactscan.pipelines.audit.stages import AuditJob

BEFORE = dict(CHECKPOINT.card.thresholds)
RAISED = replace(CHECKPOINT, card=replace(CHECKPOINT.card, thresholds={**BEFORE, "motion": 0.625}))


def job(checkpoint, *recorded: dict, measured_by: dict[str, float] = BEFORE) -> AuditJob:
    """Tonight with ``checkpoint``, after nights that ``recorded`` theirs."""
    nights = tuple(SimpleNamespace(checkpoint=one, thresholds=measured_by) for one in recorded)
    return cast(AuditJob, SimpleNamespace(nights=nights, checkpoint=checkpoint))


def test_changed_thresholds_are_said_with_the_command_that_applies_them() -> None:
    note = _note_on_thresholds(job(RAISED, {"digest": CHECKPOINT.digest, "thresholds": BEFORE}))
    assert note is not None
    assert f"thresholds changed (motion {BEFORE['motion']:g} to 0.625)" in note
    assert "`artifactscan report --thresholds motion=0.625`" in note


def test_a_night_of_a_version_that_recorded_none_was_measured_by_the_cards() -> None:
    assert _note_on_thresholds(job(RAISED, {"digest": CHECKPOINT.digest})) is not None
    assert _note_on_thresholds(job(CHECKPOINT, {"digest": CHECKPOINT.digest})) is None


def test_thresholds_of_a_report_are_no_change_of_the_checkpoint() -> None:
    by_report = dict.fromkeys(LABELS, 0.9)
    recorded = {"digest": CHECKPOINT.digest, "thresholds": BEFORE}
    assert _note_on_thresholds(job(CHECKPOINT, recorded, measured_by=by_report)) is None


def test_a_first_night_and_another_checkpoint_have_nothing_to_compare_with() -> None:
    assert _note_on_thresholds(job(RAISED)) is None
    assert _note_on_thresholds(job(RAISED, {"digest": "another", "thresholds": BEFORE})) is None
