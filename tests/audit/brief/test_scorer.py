"""What the scorer is worth, and what the canaries tell of it."""

from dataclasses import replace
from typing import Any

from nights import a_night
from reports import AUROC, make_report

from artifactscan.audit.brief.scorer import canaries_in_words, quality_in_words
from artifactscan.audit.night import EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import CANARIES
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.model.operating_point import aurocs_by_protocol


def worth(**checkpoint: Any) -> str:
    return quality_in_words(a_night(checkpoint={"digest": "c", "trained": True, **checkpoint}))


def test_the_macro_auroc_with_its_interval_and_each_label() -> None:
    assert worth(auroc=AUROC, unproven=["texture"]) == (
        "Macro AUROC 0.62 (0.57–0.68) on makers it was not trained on, 0.72 (0.67–0.77) on clips it was not trained "
        "on; boundary 0.70, texture 0.46 (unproven), motion 0.68, object 0.63. Guessing has 0.50."
    )
    assert worth(auroc={"videos": {"motion": [0.6, 0.5, 0.7]}}) == "Motion 0.60. Guessing has 0.50."


def test_the_builtin_checkpoint_s_card() -> None:
    card = load_checkpoint("builtin").card
    said = worth(auroc=aurocs_by_protocol(card.metrics), unproven=list(card.unproven()))
    assert said.startswith("Macro AUROC 0.62 (0.57–0.68) on makers it was not trained on, 0.72 (0.67–0.77) on clips")
    assert "texture 0.46 (unproven)" in said


def test_a_card_without_figures() -> None:
    assert worth() == "Its card has no figures on unseen clips."
    assert worth(auroc={}) == "Its card has no figures on unseen clips."
    assert worth(standing="macro average precision 0.48 on unseen videos") == (
        "By its card macro average precision 0.48 on unseen videos."
    )
    assert worth(trained=False, auroc=AUROC) == "Its weights are random: its scores mean nothing."


def test_canaries_that_stood_still_moved_or_cannot_be_compared() -> None:
    still, moved = make_report(code=EXIT_PASS), make_report(code=EXIT_SCORER_MOVED)
    assert canaries_in_words(still.policy, still.canaries) == "The scores of 6 clips stood still (largest shift 0.000)."
    assert canaries_in_words(moved.policy, moved.canaries) == (
        "1 of 6 clips moved. 1 clip could not be compared, which counts as moved."
    )
    assert canaries_in_words(still.policy, CANARIES.empty_table()) == (
        "No canary was scored, so whether the scorer changed is not known."
    )


def test_canaries_that_cannot_see() -> None:
    report = make_report(code=EXIT_PASS, blind=True)
    assert canaries_in_words(report.policy, report.canaries) == (
        "The scores of 12 clips stood still (largest shift 0.000), but they cannot show a change: clips with planted "
        "defects score like clips without."
    )
    rows = report.canaries.to_pylist()
    for row in rows:
        if row["label"] in ("boundary", "texture"):
            row["score"] = 0.9 if row["planted"] else 0.1
    seen = replace(report, canaries=report.canaries.from_pylist(rows, CANARIES))
    assert ", but for motion and object they cannot show a change: " in canaries_in_words(seen.policy, seen.canaries)
