"""Which nights a night is compared with."""

from collections.abc import Sequence
from itertools import groupby

from artifactscan.audit.night import Night
from artifactscan.audit.policy import Policy

CHANCE = 1e-3
"""Above this q value a single worse night is taken for chance: one quiet night in 1,000 has a smaller one."""
ENOUGH_NIGHTS = 7
"""So many nights of a baseline tell by themselves how much nights differ."""


def baseline_nights(nights: Sequence[Night], policy: Policy, scorer: str, named: str | None = None) -> list[Night]:
    """The last nights of the same scorer that scored arrivals, or the night with the id or run ``named``.

    Nights before one that accepted the corpus as it is are left out. So are nights that were worse, since the next
    would look no worse against them, but for a single one between two that were not, by no more than CHANCE explains:
    about one in 20 nights fails by chance, and without these the baseline would be too low and its nights too much
    alike. A single one that was much worse is left out, as nights would seem to differ so much that nothing is found.
    """
    if named is not None:
        return [night for night in nights if named in (night.night, *night.runs)]
    return _good_nights(_comparable(nights, scorer))[-policy.baseline_nights :]


def worse_runs(nights: Sequence[Night], policy: Policy, scorer: str, named: str | None = None) -> list[list[Night]]:
    """Nights in a row that ``baseline_nights`` leaves out as worse, two or more each, as far back as the policy looks.

    How much nights of one run differ tells how much nights differ by themselves, whatever the level of the run. None
    where the baseline has ENOUGH_NIGHTS: a fault that is larger on some nights than on others would hide itself. With
    fewer, as after a first night that was low by chance, nothing else tells it.
    """
    if named is not None:
        return []
    comparable = _comparable(nights, scorer)
    if len(_good_nights(comparable)[-policy.baseline_nights :]) >= ENOUGH_NIGHTS:
        return []
    recent = {night.night for night in comparable[-policy.baseline_nights :]}
    runs = [[night for night in run if night.night in recent] for run in _runs_left_out(comparable)]
    return [run for run in runs if len(run) > 1]


def _comparable(nights: Sequence[Night], scorer: str) -> list[Night]:
    """The nights of a scorer that scored arrivals, since the corpus was last accepted as it is."""
    since: list[Night] = []
    for night in nights:
        if night.settings.get("accept_corpus"):
            since = []
        since.append(night)
    return [night for night in since if night.scorer == scorer and night.has_scores]


def _good_nights(comparable: Sequence[Night]) -> list[Night]:
    left_out = {night.night for run in _runs_left_out(comparable) for night in run}
    return [night for night in comparable if night.night not in left_out]


def _runs_left_out(comparable: Sequence[Night]) -> list[list[Night]]:
    """Runs of nights that were worse: several in a row, the last night, or one that was worse by more than chance."""
    runs = [list(run) for worse, run in groupby(comparable, key=lambda night: night.verdict.worse) if worse]
    return [run for run in runs if len(run) > 1 or run[-1] is comparable[-1] or not _by_chance(run[0])]


def _by_chance(night: Night) -> bool:
    """Whether chance explains that a night was worse; not known, so no, of nights of versions that kept no q value."""
    return night.verdict.q_value is not None and night.verdict.q_value > CHANCE
