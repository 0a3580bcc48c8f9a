"""Which nights a night is compared with."""

import pytest
from nights import a_night

from artifactscan.audit.baseline import CHANCE, ENOUGH_NIGHTS, baseline_nights, worse_runs
from artifactscan.audit.night import Night, Verdict
from artifactscan.audit.policy import Policy

POLICY = Policy(baseline_nights=3)
WORSE = Verdict(code=1, headline="worse", worse=True, q_value=0.02)
MUCH_WORSE = Verdict(code=1, headline="much worse", worse=True, q_value=CHANCE)
NOT_KNOWN = Verdict(code=1, headline="worse, written before q values were kept", worse=True)


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


def verdicts(letters: str) -> list[Night]:
    """A night for each letter: w worse, m much worse, o worse in an old version, p passed, f failed otherwise."""
    of = {
        "w": WORSE,
        "m": MUCH_WORSE,
        "o": NOT_KNOWN,
        "p": Verdict(code=0, headline=""),
        "f": Verdict(code=1, headline="too many without a score"),
    }
    return nights(*({**SAME, "verdict": of[letter]} for letter in letters))


@pytest.mark.parametrize(
    ("letters", "expected", "runs"),
    [
        ("pfw", ["n0", "n1"], []),
        ("pwf", ["n0", "n1", "n2"], []),
        ("pwpw", ["n0", "n1", "n2"], []),
        ("pwwp", ["n0", "n3"], [["n1", "n2"]]),
        ("pwwpwpwww", ["n0", "n3", "n4", "n5"], [["n1", "n2"], ["n6", "n7", "n8"]]),
        ("pwwwww", ["n0"], [["n1", "n2", "n3", "n4", "n5"]]),
        ("pmp", ["n0", "n2"], []),
        ("pop", ["n0", "n2"], []),
        ("pmpwpmpm", ["n0", "n2", "n3", "n4", "n6"], []),
        ("pmpmm", ["n0", "n2"], [["n3", "n4"]]),
        ("pmwp", ["n0", "n3"], [["n1", "n2"]]),
    ],
)
def test_worse_nights_in_a_row_are_no_baseline_and_a_single_one_is_that_chance_explains(
    letters: str, expected: list[str], runs: list[list[str]]
) -> None:
    policy = Policy(baseline_nights=9)
    assert chosen(verdicts(letters), policy=policy) == expected
    found = worse_runs(verdicts(letters), policy, "s")
    assert [[night.night for night in run] for run in found] == runs


def test_runs_of_worse_nights_are_those_among_the_last_nights_of_the_scorer() -> None:
    assert [len(run) for run in worse_runs(verdicts("pwwwww"), POLICY, "s")] == [3]
    assert worse_runs(verdicts("pwwppp"), POLICY, "s") == []
    assert worse_runs(verdicts("pwww"), POLICY, "s", "n0") == []
    assert worse_runs(nights(SAME, *[{"scorer": "other", "verdict": WORSE}] * 3), POLICY, "s") == []
    idle = {**SAME, "outcomes": {"unreadable": 1}}
    found = worse_runs(nights(SAME, {**SAME, "verdict": WORSE}, idle, {**SAME, "verdict": WORSE}), POLICY, "s")
    assert [[night.night for night in run] for run in found] == [["n1", "n3"]]


@pytest.mark.parametrize(("good", "runs"), [(ENOUGH_NIGHTS - 1, [3]), (ENOUGH_NIGHTS, []), (ENOUGH_NIGHTS + 1, [])])
def test_worse_nights_say_nothing_where_the_baseline_has_enough(good: int, runs: list[int]) -> None:
    found = verdicts("p" * good + "mwm")
    assert [len(run) for run in worse_runs(found, Policy(), "s")] == runs
    assert len(chosen(found, policy=Policy())) == good


def test_an_accepted_corpus_begins_a_new_baseline() -> None:
    accepted = {**SAME, "settings": {"accept_corpus": True}}
    assert chosen(nights(SAME, {**SAME, "verdict": WORSE}, accepted, SAME)) == ["n2", "n3"]
    assert chosen(nights(SAME, accepted, {**SAME, "verdict": WORSE})) == ["n1"]


@pytest.mark.parametrize(("named", "expected"), [("n0", ["n0"]), ("run-n2", ["n2"]), ("n9", [])])
def test_a_named_night_or_run_is_taken_whatever_its_verdict(named: str, expected: list[str]) -> None:
    found = nights(SAME, SAME, {**SAME, "verdict": WORSE, "runs": ("run-n2",)})
    assert chosen(found, named=named) == expected
