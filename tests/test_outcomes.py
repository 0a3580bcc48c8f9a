"""The names and meaning of outcomes are frozen, as ledgers contain them."""

from collections import Counter

import pytest

from artifactscan.outcomes import HAS_FRAMES, TRANSIENT, Outcome
from artifactscan.scoring.plan import without_frames

MEANING = {
    # name: has frames, is transient
    "scored": (True, False),
    "partial": (True, False),
    "undecodable": (False, False),
    "timed_out": (False, False),
    "crashed": (False, False),
    "too_large": (False, False),
    "unreadable": (False, True),
    "changed": (False, True),
    "unchanged": (False, False),
}


def test_the_names_and_what_they_mean_are_frozen() -> None:
    assert {str(outcome): (outcome in HAS_FRAMES, outcome in TRANSIENT) for outcome in Outcome} == MEANING


def test_names_of_outcomes_can_be_compared_with_text() -> None:
    for name in MEANING:
        assert Outcome(name) == name
        assert (name in HAS_FRAMES, name in TRANSIENT) == MEANING[name]
    with pytest.raises(ValueError, match="'lost' is not a valid Outcome"):
        Outcome("lost")


def test_videos_without_frames_are_counted_by_name() -> None:
    assert without_frames(Counter(scored=8, partial=4)) == 0
    assert without_frames(Counter(scored=8, undecodable=1, timed_out=2, unreadable=4)) == 7
    assert without_frames({}) == 0
