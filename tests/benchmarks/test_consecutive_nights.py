"""Quiet nights in a row fail about as often as promised, and what rose is still found."""

import numpy as np
import pytest

from artifactscan.audit.policy import Policy
from benchmarks.consecutive_nights import (
    FAULTS,
    Corpus,
    draw_nights,
    fault_found,
    found_share,
    judge_in_turn,
    quiet_rate,
)


@pytest.mark.parametrize(
    "corpus",
    [
        Corpus(groups="flat", videos=500),
        Corpus(groups="flat", videos=500, common=1),
        Corpus(groups="nested", videos=500, own=1),
        Corpus(groups="flat", videos=5000, own=2),
        Corpus(groups="nested", videos=5000, common=2),
    ],
    ids=str,
)
def test_one_quiet_night_in_twenty_fails_at_most(corpus: Corpus) -> None:
    """With the nights that failed by chance left out of the baseline up to 22 % did, and all of some sequences."""
    shares = quiet_rate(corpus, nights=100, sequences=4, seed=1)
    assert np.mean(shares) < 0.075, "0.05 and two standard errors of 400 nights"
    assert max(shares) < 0.15


def test_a_first_night_that_was_low_is_no_trap() -> None:
    """Rates move by two points a night, and all others are above the first night's: they failed for ever."""
    drawn = draw_nights(Corpus(groups="flat", videos=5000, own=2), 60, np.random.default_rng(7), risen={0: 0.01})
    worse = judge_in_turn(*drawn, Policy())
    assert worse[1]
    assert worse[20:].mean() < 0.15


def test_a_rise_that_stays_fails_every_night() -> None:
    lasting = dict.fromkeys(range(30, 45), 0.12)
    flagged, videos, kinds = draw_nights(
        Corpus(groups="flat", videos=1500), 45, np.random.default_rng(3), risen=lasting
    )
    assert judge_in_turn(flagged, videos, kinds, Policy())[30:].all()


def test_a_rise_is_found_as_often_as_before() -> None:
    assert found_share(Corpus(groups="flat", videos=1500), 0.10, sequences=16, seed=0) > 0.8


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ("lasting", 1.0),
        ("large, mended, lasting", 1.0),
        ("mended, small, lasting", 0.85),
        ("large, lasting", 1.0),
        ("every other night", 1.0),
        ("larger every other night", 0.9),
    ],
)
def test_a_fault_hides_no_later_one(fault: str, least: float) -> None:
    """Where large rises entered the baseline, or told how much nights differ, 2 to 90 % of the later nights failed."""
    corpus = Corpus(groups="flat", videos=1500)
    first, *later = fault_found(corpus, FAULTS[fault], sequences=12, seed=0)
    assert first == 1
    assert np.mean(later) >= least
