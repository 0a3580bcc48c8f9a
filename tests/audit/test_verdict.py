"""The verdict on a night and the line it is told in."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from arrived import arrived, many, video

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Verdict
from artifactscan.audit.night_tables import ARRIVALS, CANARIES
from artifactscan.audit.policy import Policy, RateLimit, RiseLimit
from artifactscan.audit.statistics.flag_rates import measure_rates
from artifactscan.audit.verdict import (
    broken_rules,
    clearest_rise,
    comparison_in_words,
    judge_night,
    moved_canaries,
    remarks,
    risen_cells,
    scorer_moved,
)
from artifactscan.labels import LABELS

SORA = ("generator=sora",)
FAILED = [video(groups=SORA, outcome=outcome, frames=0) for outcome in ["undecodable"] * 20 + ["timed_out"] * 5]


def canary(clip: str = "00001.mp4", **shift: float | None) -> list[dict[str, Any]]:
    """One clip's rows; ``shift`` by label, None where it cannot be compared."""
    return [
        {
            "clip": clip,
            "label": label,
            "frames": 8,
            "planted": label == "motion",
            "score": 0.9 - (shift.get(label, 0.001) or 0),
            "reference": 0.9,
            "shift": shift.get(label, 0.001),
            "reason": "undecodable: no frame" if label in shift and shift[label] is None else None,
        }
        for label in LABELS
    ]


def canaries(*rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([row for clip in rows for row in clip], CANARIES)


STILL = canaries(canary("00000.mp4"), canary())
NIGHTS = {f"n{i}": many(500, flagged, groups=SORA) for i, flagged in enumerate((24, 25, 26, 25))}


def verdict(
    tonight: pa.Table,
    baseline: Mapping[str, pa.Table] = NIGHTS,
    *,
    canaries: pa.Table = STILL,
    policy: Policy | None = None,
) -> Verdict:
    policy = policy or Policy()
    cells = measure_rates(tonight, baseline, policy)
    return judge_night(policy=policy, cells=cells, arrivals=tonight, canaries=canaries, baseline=list(baseline))


def compared(tonight: pa.Table, baseline: Mapping[str, pa.Table] = NIGHTS) -> str:
    cells = measure_rates(tonight, baseline, Policy())
    return comparison_in_words(Policy(), cells, tonight, list(baseline), ()) or ""


def alike(clips: int) -> pa.Table:
    """Canaries that stand still, and of which those with a planted label score like the others."""
    rows = []
    for n in range(clips):
        score = 0.5 + 0.01 * (5 * n % clips)
        rows += [
            {**row, "planted": n % len(LABELS) == place, "score": score, "reference": score}
            for place, row in enumerate(canary(f"{n:05d}.mp4"))
        ]
    return pa.Table.from_pylist(rows, CANARIES)


QUIET, WORSE = many(500, 27, groups=SORA), many(500, 60, groups=SORA)


def test_no_worse() -> None:
    found = verdict(QUIET)
    assert found == Verdict(
        code=EXIT_PASS,
        headline="No worse than before: none of 8 rates rose by more than chance against 4 nights; the scorer stood "
        "still.",
    )
    assert found.sentence == f"Pass: {found.headline}"


def test_a_rise() -> None:
    found = verdict(WORSE)
    assert found.code == EXIT_FAIL
    assert found.headline == (
        "Motion rose from 5.0 % to 12.0 % of the videos in generator=sora, the clearest of 2 rises; the corpus "
        "changed, not the scorer."
    )
    assert found.sentence == f"Fail: {found.headline}"
    assert found.reasons == (
        "Motion rose from 5.0 % to 12.0 % of the videos in generator=sora (+7.0 points, 95 % interval +4.0 to +10.0), "
        "60 of 500 against 100 of 2,000, q value <0.001 where 0.05 or less fails.",
        "Motion rose from 5.0 % to 12.0 % of all videos (+7.0 points, 95 % interval +4.0 to +10.0), "
        "60 of 500 against 100 of 2,000, q value <0.001 where 0.05 or less fails.",
    )


def test_a_rise_without_groups_and_without_canaries() -> None:
    baseline = {"n1": many(500, 25), "n2": many(500, 25)}
    found = verdict(many(500, 60), baseline, canaries=CANARIES.empty_table())
    assert found.headline == (
        "Motion rose from 5.0 % to 12.0 % of all videos; whether the corpus or the scorer changed is not known."
    )
    assert found.reasons[0].startswith("Motion rose from 5.0 % to 12.0 % of all videos (+7.0 points")
    assert len(found.reasons) == 1


def test_the_clearest_rise_leads() -> None:
    tonight = pa.concat_tables([many(500, 50, groups=["a=1"]), many(500, 70, label="texture", groups=["a=2"])])
    baseline = {
        f"n{i}": pa.concat_tables([many(500, 20, groups=["a=1"]), many(500, 20, label="texture", groups=["a=2"])])
        for i in range(3)
    }
    found = verdict(tonight, baseline)
    assert "Texture rose from 4.0 % to 14.0 % of the videos in a=2" in found.headline
    assert "the clearest of 4 rises" in found.headline
    # In a=1 motion rose too, and both did among all videos.
    assert len(found.reasons) == 4


def test_a_rise_below_the_policy_s_minimum_passes_and_is_mentioned() -> None:
    policy = Policy(rises=RiseLimit(at_least=0.1))
    found = verdict(WORSE, policy=policy)
    assert (found.code, found.reasons) == (EXIT_PASS, ())
    assert found.headline == "No worse than the policy allows; the scorer stood still."
    assert comparison_in_words(policy, measure_rates(WORSE, NIGHTS, policy), WORSE, list(NIGHTS), ()) == (
        "No worse than the policy allows: of 8 rates compared with 4 nights the clearest rise is below its 10 points "
        "(motion rose from 5.0 % to 12.0 % of the videos in generator=sora, +7.0 points)."
    )
    assert verdict(WORSE, policy=Policy(rises=RiseLimit(at_least=0.07))).code == EXIT_FAIL


def test_a_stricter_significance() -> None:
    some = many(500, 40, groups=SORA)
    assert verdict(some).code == EXIT_FAIL
    assert verdict(some, policy=Policy(rises=RiseLimit(significance=0.001))).code == EXIT_PASS


def test_a_rate_above_the_policys() -> None:
    limits = (RateLimit(label="motion", above=0.05, group="generator=sora"), RateLimit(label="motion", above=0.06))
    found = verdict(QUIET, policy=Policy(rates=limits))
    assert found.code == EXIT_FAIL
    assert found.headline == "Motion is in 5.4 % of the videos in generator=sora, above the policy's 5 %."
    assert found.reasons == (
        "Motion is in 5.4 % of the videos in generator=sora (27 of 500, 95 % interval 3.6–7.4), above the policy's "
        "5 %.",
    )
    assert compared(QUIET).startswith("No worse than before: none of 8 rates rose")


def test_a_rate_that_is_just_the_policys_passes() -> None:
    assert verdict(QUIET, policy=Policy(rates=(RateLimit(label="motion", above=27 / 500),))).code == EXIT_PASS


def test_rate_limits_apply_to_a_first_night_of_few_videos() -> None:
    found = verdict(many(2, 1), {}, policy=Policy(rates=(RateLimit(label="motion", above=0.4),)))
    assert found.code == EXIT_FAIL
    assert found.headline == "Motion is in 50.0 % of all videos, above the policy's 40 %."
    assert found.reasons[0].startswith("Motion is in 50.0 % of all videos (1 of 2, ")
    assert compared(many(2, 1), {}) == "No earlier night to compare with: 2 videos scored, nothing compared."


def test_too_many_files_without_a_score() -> None:
    tonight = pa.concat_tables([many(175, 8, groups=SORA), arrived(*FAILED)])
    found = verdict(tonight)
    assert found.code == EXIT_FAIL
    assert found.reasons == (
        "25 of 200 files (12.5 %) have no score, above the policy's 5 %: 20 undecodable, 5 timed out.",
    )
    assert found.headline == found.reasons[0]
    assert compared(tonight).startswith("No worse than before: none of 8 rates rose")
    assert verdict(tonight, policy=Policy(failed_above=0.125)).code == EXIT_PASS
    hundred = arrived(*[video()] * 71, *[video(outcome="crashed", frames=0)] * 29)
    assert verdict(hundred, policy=Policy(failed_above=0.29)).code == EXIT_PASS


def test_headline_and_reasons_have_every_failure() -> None:
    tonight = pa.concat_tables([many(300, 60, groups=SORA), arrived(*FAILED)])
    limits = (RateLimit(label="motion", above=0.1), RateLimit(label="motion", above=0.1, group=SORA[0]))
    found = verdict(tonight, policy=Policy(rates=limits))
    told = [found.headline.index(part) for part in ("Motion rose from ", "motion is in 20.0 % of all videos", "25 of")]
    assert told == sorted(told)
    assert "one of 2 such rates" in found.headline
    assert "no worse" not in found.headline
    assert len(found.reasons) == 2 + 2 + 1


def test_a_canary_that_moved_goes_before_everything() -> None:
    table = canaries(canary("00000.mp4", texture=0.0201), canary(motion=0.31))
    tonight = pa.concat_tables([WORSE, arrived(*FAILED, *FAILED)])
    found = verdict(tonight, canaries=table, policy=Policy(rates=(RateLimit(label="motion", above=0.01),)))
    assert found.code == EXIT_SCORER_MOVED
    assert found.headline == (
        "The scorer moved, so tonight says nothing of the corpus: the motion score of canary 00001.mp4 shifted by "
        "0.310 (1 more moved)."
    )
    assert found.sentence == found.headline, "which says the verdict itself"
    assert len(found.reasons) == 3
    assert found.reasons[0] == (
        "Canary 00001.mp4 shifts by 0.310 in one frame's motion score, more than 0.02 (mean 0.900 before, 0.590 "
        "tonight)."
    )
    assert "texture" in found.reasons[1]
    assert found.reasons[2].startswith("50 of 550 files (9.1 %) have no score")
    assert not any("rose" in reason or "is in" in reason for reason in found.reasons)


def test_a_canary_that_cannot_be_compared_counts_as_moved() -> None:
    table = canaries(canary("00000.mp4"), canary(**dict.fromkeys(LABELS)))
    found = verdict(QUIET, canaries=table)
    assert found == Verdict(
        code=EXIT_SCORER_MOVED,
        headline="The scorer moved, so tonight says nothing of the corpus: canary 00001.mp4 cannot be compared "
        "(undecodable: no frame).",
        reasons=("Canary 00001.mp4 cannot be compared (undecodable: no frame).",),
    )


@pytest.mark.parametrize(("shift", "is_moved"), [(0.02, False), (0.0201, True), (float("nan"), True)])
def test_a_shift_above_the_limit_moves_the_scorer(shift: float, is_moved: bool) -> None:
    assert scorer_moved(Policy(), canaries(canary(), canary("2", object=shift))) == is_moved


def test_no_canaries_did_not_move() -> None:
    assert not scorer_moved(Policy(), CANARIES.empty_table())


def test_a_rate_that_fell_has_not_risen_at_any_significance() -> None:
    policy = Policy(rises=RiseLimit(significance=1))
    assert verdict(many(500, 5, groups=SORA), policy=policy).code == EXIT_PASS
    cells = measure_rates(WORSE, NIGHTS, policy, resamples=20)
    assert [(cell["label"], cell["group"]) for cell in risen_cells(policy, cells)] == [
        ("motion", "generator=sora"),
        ("motion", "all"),
    ]


def test_moved_canaries_are_those_above_the_limit_the_largest_shift_first() -> None:
    table = canaries(canary("0", texture=0.0201), canary("1", motion=0.31), canary("2", **dict.fromkeys(LABELS)))
    assert [(row["clip"], row["label"]) for row in moved_canaries(Policy(), table)] == [
        ("1", "motion"),
        ("0", "texture"),
    ]


def test_a_verdict_keeps_the_smallest_q_value_of_the_rises_that_fail() -> None:
    cells = measure_rates(WORSE, NIGHTS, Policy(), resamples=20)
    rose = pc.and_(pc.equal(cells["label"], "motion"), pc.is_valid(cells["q_value"]))
    of_groups = pc.if_else(pc.equal(cells["group"], "all"), 0.04, 0.003)
    told = cells.set_column(cells.column_names.index("q_value"), "q_value", pc.if_else(rose, of_groups, 0.001))
    found = judge_night(policy=Policy(), cells=told, arrivals=WORSE, canaries=STILL, baseline=list(NIGHTS))
    assert found.q_value == 0.003, "0.001 is of cells that did not rise"
    assert verdict(WORSE).q_value == pytest.approx(3.3e-7, rel=0.02)
    assert verdict(QUIET).q_value is None
    assert verdict(WORSE, policy=Policy(rises=RiseLimit(at_least=0.5))).q_value is None


def test_a_first_night() -> None:
    assert verdict(QUIET, {}) == Verdict(
        code=EXIT_PASS, headline="No earlier night to compare with: 500 videos scored, nothing compared."
    )


def test_nothing_new() -> None:
    assert verdict(ARRIVALS.empty_table()) == Verdict(
        code=EXIT_PASS,
        headline="Nothing new tonight, so there is nothing to compare; the scorer stood still.",
    )


def test_canaries_that_cannot_see_a_change_do_not_clear_the_scorer() -> None:
    assert verdict(WORSE, canaries=alike(12)).headline.endswith(
        ", the clearest of 2 rises; whether the corpus or the scorer changed is not known."
    )
    assert verdict(QUIET, canaries=alike(12)).headline.endswith(
        "; whether the scorer moved is not known, as the canaries cannot see a change."
    )
    few = verdict(QUIET, canaries=alike(4)).headline
    assert few.endswith("; the scorer stood still."), "of so few clips nobody can say that they are blind"


def test_which_rules_are_broken_and_which_reasons_the_headline_gives() -> None:
    limits = (RateLimit(label="motion", above=0.1), RateLimit(label="motion", above=0.1, group=SORA[0]))
    policy, tonight = Policy(rates=limits), pa.concat_tables([many(300, 60, groups=SORA), arrived(*FAILED)])
    broken = broken_rules(policy, measure_rates(tonight, NIGHTS, policy), tonight)
    assert [(cell["label"], cell["group"]) for cell in broken.risen] == [("motion", SORA[0]), ("motion", "all")]
    assert [limit for limit, _ in broken.high] == list(limits)
    assert broken.leading_cell == ("motion", SORA[0])
    assert broken.in_headline == {0, 2, 4}
    only_failed = broken_rules(Policy(), measure_rates(tonight, {}, Policy()), tonight)
    assert (only_failed.leading_cell, only_failed.in_headline) == (None, {0})
    nothing = broken_rules(Policy(), measure_rates(QUIET, NIGHTS, Policy()), QUIET)
    assert (nothing.leading_cell, nothing.in_headline, nothing.failed) == (None, frozenset(), None)


def test_one_file_has_no_score() -> None:
    found = verdict(arrived(video(), video(outcome="undecodable", frames=0)), {})
    assert found.headline == "1 of 2 files (50.0 %) has no score, above the policy's 5 %: 1 undecodable."


def test_the_clearest_rise_is_the_one_with_the_smallest_q_value_that_may_fail() -> None:
    cells = measure_rates(QUIET, NIGHTS, Policy())
    found = clearest_rise(Policy(), cells)
    assert found is not None
    assert (found["label"], round(found["change"], 3)) == ("motion", 0.004)
    assert clearest_rise(Policy(), cells, ("motion",)) is None
    assert clearest_rise(Policy(), measure_rates(QUIET, {}, Policy())) is None


def test_too_few_to_compare() -> None:
    few = many(12, 6)
    assert verdict(few).sentence == "Pass: Nothing was compared, as tonight has 12 scored videos and 30 are needed."
    assert verdict(few, canaries=alike(12)).sentence == verdict(few).sentence, "what canaries say stands below it"
    assert compared(few, NIGHTS) == (
        "Nothing was compared with the 4 nights before: fewer than 30 scored videos: 12 tonight."
    )
    both = {"n1": many(6, 0), "n2": many(7, 0)}
    assert verdict(few, both).sentence == verdict(few).sentence
    assert compared(few, both).endswith(": 12 tonight and 13 in the baseline.")
    assert verdict(QUIET, both).headline == (
        "Nothing was compared, as the baseline has 13 scored videos and 30 are needed."
    )


@pytest.mark.parametrize("nights", [1, 2, 14])
@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("at_least", [0.0, 0.1])
@pytest.mark.parametrize("count", [0, 12, 500])
def test_what_passes_is_said_in_a_short_sentence(nights: int, still: bool, at_least: float, count: int) -> None:
    baseline = {f"n{i:02d}": many(500, 20, groups=SORA) for i in range(nights)}
    tonight = many(count, count // 8, groups=SORA) if count else ARRIVALS.empty_table()
    for unproven in ((), LABELS):
        policy = Policy(rises=RiseLimit(at_least=at_least))
        found = judge_night(
            policy=policy,
            cells=measure_rates(tonight, baseline, policy, resamples=20),
            arrivals=tonight,
            canaries=STILL if still else alike(12),
            baseline=list(baseline),
            unproven=unproven,
        )
        if found.code == EXIT_PASS:
            assert len(found.sentence) <= 120, found.sentence


def test_unprintable_group_names_are_escaped() -> None:
    group = ["generator=so\x1b[31m\nra"]
    tonight, baseline = (
        many(500, 60, groups=group),
        {"n1": many(500, 20, groups=group), "n2": many(500, 20, groups=group)},
    )
    assert r"of the videos in generator=so\x1b[31m\nra, the clearest" in verdict(tonight, baseline).headline


def test_remarks() -> None:
    policy = Policy(
        rates=(RateLimit(label="motion", above=0.5, group="generator=veo"), RateLimit(label="motion", above=1))
    )
    few = [many(5, 0, groups=[f"generator={i}"]) for i in range(7)]
    tonight, baseline = pa.concat_tables([QUIET, *few]), {"n0": NIGHTS["n0"]}
    cells = measure_rates(tonight, baseline, policy, resamples=20)
    assert remarks(policy=policy, cells=cells, baseline=list(baseline)) == (
        "The limit for motion in generator=veo says nothing: no file in it arrived.",
        "Not compared, as of fewer than 30 scored videos: generator=0, generator=1, generator=2, generator=3, "
        "generator=4 and 2 more.",
        "The baseline is a single night, so how much nights differ by themselves is not known.",
    )
    cells = measure_rates(QUIET, NIGHTS, Policy(), resamples=20)
    assert remarks(policy=Policy(), cells=cells, baseline=list(NIGHTS)) == ()
    cells = measure_rates(ARRIVALS.empty_table(), NIGHTS, policy, resamples=20)
    assert remarks(policy=policy, cells=cells, baseline=list(NIGHTS)) == ()


def test_a_rise_of_an_unproven_label_fails_no_night_and_is_told() -> None:
    cells = measure_rates(WORSE, NIGHTS, Policy())
    told = {"cells": cells, "baseline": list(NIGHTS), "unproven": ("texture", "motion")}
    found = judge_night(policy=Policy(), arrivals=WORSE, canaries=STILL, **told)
    assert (found.code, found.worse, found.reasons) == (EXIT_PASS, False, ())
    assert found.headline.startswith("No worse than before: none of 4 rates rose")
    assert risen_cells(Policy(), cells, ("motion",)) == []
    first, *rises = remarks(policy=Policy(), **told)
    assert first == (
        "Unproven: texture, motion; the checkpoint's scores are not shown to be better than chance on unseen clips, so "
        "a rise fails no night unless the policy's key unproven lists the label."
    )
    assert [rise.partition(" (")[0] for rise in rises] == [
        "Without a vote, as unproven: motion rose from 5.0 % to 12.0 % of the videos in generator=sora",
        "Without a vote, as unproven: motion rose from 5.0 % to 12.0 % of all videos",
    ]


def test_an_unproven_label_that_the_policy_lists_votes() -> None:
    policy = Policy(unproven=("motion",))
    told = {"cells": measure_rates(WORSE, NIGHTS, policy), "baseline": list(NIGHTS), "unproven": ("motion",)}
    assert judge_night(policy=policy, arrivals=WORSE, canaries=STILL, **told).code == EXIT_FAIL
    assert remarks(policy=policy, **told) == ()


def test_a_limit_on_an_unproven_label_s_rate_holds_and_says_so() -> None:
    policy = Policy(rates=(RateLimit(label="motion", above=0.1),))
    cells = measure_rates(WORSE, NIGHTS, policy)
    found = judge_night(
        policy=policy, cells=cells, arrivals=WORSE, canaries=STILL, baseline=list(NIGHTS), unproven=("motion",)
    )
    assert found.code == EXIT_FAIL
    assert found.reasons[0].startswith("Motion (unproven) is in 12.0 % of all videos")


def test_where_every_label_is_unproven_no_rate_is_compared() -> None:
    cells = measure_rates(WORSE, NIGHTS, Policy())
    found = judge_night(
        policy=Policy(), cells=cells, arrivals=WORSE, canaries=STILL, baseline=list(NIGHTS), unproven=LABELS
    )
    assert found.code == EXIT_PASS
    assert found.headline == "No rate was compared, as every label is unproven; the scorer stood still."
    said = comparison_in_words(Policy(), cells, WORSE, list(NIGHTS), LABELS)
    assert said is not None
    assert said.startswith("No rate was compared, as every label is unproven: the checkpoint's scores are not shown ")
