"""Which nights a night is compared with."""

import pytest
from nights import a_night

from artifactscan.audit.baseline import baseline_nights
from artifactscan.audit.night import Night, Verdict
from artifactscan.audit.policy import Policy

POLICY = Policy(baseline_nights=3)
WORSE = Verdict(code=1, headline="worse", worse=True)


def nights(*changes: dict) -> list[Night]:
    return [
        a_night(f"n{number}", **{"verdict": Verdict(code=0, headline=""), **one}) for number, one in enumerate(changes)
    ]


def chosen(found: list[Night], **arguments) -> list[str]:
    return [night.night for night in baseline_nights(found, arguments.pop("policy", POLICY), "s", **arguments)]


SAME: dict = {"scorer": "s"}


def test_the_last_nights_of_the_same_scorer_that_had_arrivals() -> None:
    found = nights(SAME, SAME, {"scorer": "other"}, SAME, {**SAME, "outcomes": {"unreadable": 1}}, SAME)
    assert chosen(found) == ["n1", "n3", "n5"]
    assert chosen(found, policy=Policy(baseline_nights=9)) == ["n0", "n1", "n3", "n5"]
    assert chosen([]) == []


def test_a_worse_night_is_no_baseline() -> None:
    failed_otherwise = {**SAME, "verdict": Verdict(code=1, headline="too many files without a score")}
    assert chosen(nights(SAME, {**SAME, "verdict": WORSE}, failed_otherwise, {**SAME, "verdict": WORSE})) == [
        "n0",
        "n2",
    ]


def test_an_accepted_corpus_begins_a_new_baseline() -> None:
    accepted = {**SAME, "settings": {"accept_corpus": True}}
    assert chosen(nights(SAME, {**SAME, "verdict": WORSE}, accepted, SAME)) == ["n2", "n3"]
    assert chosen(nights(SAME, accepted, {**SAME, "verdict": WORSE})) == ["n1"]


@pytest.mark.parametrize(("named", "expected"), [("n0", ["n0"]), ("run-n2", ["n2"]), ("n9", [])])
def test_a_named_night_or_run_is_taken_whatever_its_verdict(named: str, expected: list[str]) -> None:
    found = nights(SAME, SAME, {**SAME, "verdict": WORSE, "runs": ("run-n2",)})
    assert chosen(found, named=named) == expected
