"""What `make bench` makes of what it measures."""

import pytest

from benchmarks.figures import (
    Costs,
    Run,
    Scored,
    Spread,
    Turn,
    clips_for,
    error_of_bound,
    errors,
    notes,
    spread,
    spreads_of_rates,
    spreads_of_ratios,
    steady_rate,
    steady_rates,
)

CORES = 2
COSTS = Costs(decode_cpu_s=0.02, classify_s=0.024, precision="bf16", frames_per_clip=24)
"""Two cores take (0.02 + 2 · 0.024) / 2 = 0.034 s a frame."""


def run(contestant: str = "job", *scored: tuple[float, int], precision: str = "bf16", **ahead: float) -> Run:
    """Of a command given at 100 s, which ends 3 s after the last scored frames."""
    parts = tuple(Scored(*part) for part in scored)
    facts = {"clips": 1, "began_s": 100.0, "ended_s": max(parts).at_s + 3, "precision": precision}
    return Run(contestant=contestant, scored=parts, **facts, **ahead)  # type: ignore[arg-type]


def turn(costs: Costs = COSTS, **rates: float) -> Turn:
    """With a contestant of each steady rate, in frames per second."""
    return Turn(costs, steady={name: run(name, (110, 10), (210, round(100 * rate))) for name, rate in rates.items()})


def test_a_command_is_start_up_work_and_end() -> None:
    whole = run("job", (130.0, 60), (112.5, 40), (150.0, 20))
    assert (whole.start_up_s, whole.end_s, whole.seconds, whole.frames) == (12.5, 3.0, 53.0, 120)


def test_the_first_frames_do_not_count_for_the_steady_state() -> None:
    assert steady_rate(run("job", (120, 50), (110, 1000), (130, 150)), COSTS, CORES) == pytest.approx(200 / 20)


def test_frames_that_are_ready_at_once_have_no_rate() -> None:
    assert steady_rate(run("job", (110, 48)), COSTS, CORES) is None
    assert "job" not in steady_rates(Turn(COSTS, steady={"job": run("job", (110, 48))}), CORES)


def test_decoding_ahead_of_the_first_frames_is_charged() -> None:
    """500 frames were decoded by then, 50 of them scored: 450 · 0.02 s on two cores are 4.5 s."""
    scored = ((110.0, 50), (140.0, 950))
    by_frames = steady_rate(run("peer", *scored, ahead_frames=500), COSTS, CORES)
    by_seconds = steady_rate(run("job", *scored, ahead_cpu_s=10.0), COSTS, CORES)
    assert by_frames == by_seconds == pytest.approx(950 / 34.5)


def test_what_the_first_frames_cost_themselves_is_not_charged() -> None:
    assert steady_rate(run("peer", (110, 50), (140, 900), ahead_frames=50), COSTS, CORES) == pytest.approx(30)
    assert steady_rate(run("job", (110, 50), (140, 900), ahead_cpu_s=0.5), COSTS, CORES) == pytest.approx(30)


def test_a_job_that_decodes_all_ahead_and_then_only_classifies_is_at_its_bound() -> None:
    """1,000 frames decoded during start-up, 950 scored at the pace of inference alone: no better than the bound."""
    ideal = run("job", (110, 50), (110 + 950 * COSTS.classify_s, 950), ahead_cpu_s=1000 * COSTS.decode_cpu_s)
    assert steady_rate(ideal, COSTS, CORES) == pytest.approx(COSTS.bound(CORES)) == pytest.approx(1 / 0.034)


def test_the_halves_of_the_bound_are_rates_of_all_cores() -> None:
    assert steady_rates(Turn(COSTS), CORES) == pytest.approx({"decode": 100, "classify": 1 / 0.024, "bound": 1 / 0.034})


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread(value for value in (7.0,)) == Spread(7.0, 7.0, 7.0)


def test_rates_and_ratios_are_medians_over_turns() -> None:
    turns = [turn(job=20, plain_loop=10), turn(job=30, plain_loop=10), turn(job=24, plain_loop=6)]
    assert spreads_of_rates(turns, CORES)["job"] == (24, 20, 30)
    assert spreads_of_ratios(turns, CORES)["plain_loop"] == (3, 2, 4)


def test_a_contestant_that_fails_in_a_later_turn_keeps_its_earlier_figures() -> None:
    turns = [turn(job=20, daft=10), turn(job=30)]
    turns[1].failed["daft"] = "it stalls"
    assert spreads_of_ratios(turns, CORES)["daft"] == (2, 2, 2)
    assert notes(turns) == [
        "daft did not finish: it stalls",
        "the job scored 2,010 frames of the same clips, and daft 1,010",
    ]


def test_a_job_faster_than_its_bound_is_an_error() -> None:
    error = error_of_bound(Spread(30, 29.6, 31), Spread(29, 28, 29.5), Spread(1.03, 0.99, 1.05))
    assert error is not None
    assert error.startswith(
        "the job's steady state, 29.60 to 31.00 frames/s, is better than its bound, 28.00 to 29.50, which cannot be:"
    )
    assert errors([turn(job=29.6), turn(job=31)], CORES) == [
        error_of_bound(Spread(30.3, 29.6, 31), Spread(29.41, 1 / 0.034, 1 / 0.034), Spread(1.03, 1.0, 1.05))
    ]


def test_a_job_within_the_spread_of_its_bound_is_none() -> None:
    assert error_of_bound(Spread(30, 29.4, 31), Spread(29, 28, 29.5), Spread(1.02, 1.0, 1.05)) is None
    assert errors([turn(job=29.3), turn(job=30)], CORES) == []


def test_a_bound_of_another_precision_is_an_error() -> None:
    other = turn(job=20)
    other.steady["job"] = run("job", (110, 10), (210, 2000), precision="fp32")
    assert errors([other, other], CORES) == [
        "the job ran in fp32 and its bound is of bf16: they cannot be compared",
    ]


def test_without_figures_of_the_job_it_is_an_error_that_says_why() -> None:
    assert errors([Turn(COSTS, failed={"job": "job over 1 clips ends with 3: no space left"})], CORES) == [
        "job over 1 clips ends with 3: no space left"
    ]
    assert "all became ready at once" in errors([Turn(COSTS)], CORES)[0]


@pytest.mark.parametrize(("seconds", "clips"), [(60, 100), (120, 147)])
def test_the_clips_last_as_long_as_is_asked(seconds: float, clips: int) -> None:
    """29.4 frames/s are 1.2254 clips a second."""
    assert clips_for(seconds, 100, COSTS, CORES) == clips
