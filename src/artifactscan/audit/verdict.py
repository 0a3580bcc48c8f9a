"""What the policy says of a night, and the first line that a person reads of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Verdict
from artifactscan.audit.policy import Policy, RateLimit
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.formatting import NAME_CHARS, counted, percent, percent_between, points, points_between, q_value
from artifactscan.messages.text import printable
from artifactscan.outcomes import HAS_FRAMES

_NAMED = 5
"""Groups that a remark names at most."""
_ROUNDING = 1e-12
"""A difference of two shares may be so much off: 0.12 less 0.05 is a little less than 0.07."""
_Row = Mapping[str, Any]


def judge(
    *, policy: Policy, cells: pa.Table, arrivals: pa.Table, canaries: pa.Table, baseline: Sequence[str]
) -> Verdict:
    """The verdict on a night from its CELLS, ARRIVALS and CANARIES; ``baseline`` names the nights compared with.

    A scorer that moved goes before everything else, and then no rate is held against the corpus. Names in the sentences
    are printable, but otherwise as they were given: who writes HTML or Markdown escapes them.
    """
    failed = _too_many_failed(policy, arrivals)
    if shifts := _shifts(canaries, policy):
        others = f" ({len(shifts) - 1:,} more moved)" if len(shifts) > 1 else ""
        return Verdict(
            code=EXIT_SCORER_MOVED,
            headline=f"The scorer moved, so tonight says nothing of the corpus: {shifts[0]}{others}.",
            reasons=_sentences([*shifts, *failed]),
        )
    rises, _ = _rises(policy, cells)
    high = _high_rates(policy, cells)
    reasons = [*(f"{_rise(cell)}, {_chance(cell, policy)}" for cell in rises), *high, *failed]
    clauses = [*_failures(rises, high, failed), *_comparison(policy, cells, arrivals, baseline)]
    if baseline:
        clauses.append(_scorer(canaries, worse=bool(rises)))
    return Verdict(
        code=EXIT_FAIL if reasons else EXIT_PASS,
        headline=_sentences(["; ".join(clauses)])[0],
        reasons=_sentences(reasons),
        worse=bool(rises),
    )


def moved(canaries: pa.Table, policy: Policy) -> bool:
    """Whether CANARIES say that the scorer moved: a score shifted by more than the policy allows, or has none."""
    return bool(_shifts(canaries, policy))


def remarks(*, policy: Policy, cells: pa.Table, baseline: Sequence[str]) -> tuple[str, ...]:
    """What to know of how a night was judged, though it failed by none of it; a sentence each, for its notes.

    None where no video has a score tonight.
    """
    if not pc.sum(cells["videos"]).as_py():
        return ()
    said = []
    groups = set(cells["group"].to_pylist())
    for limit in policy.rates:
        if limit.group not in groups:
            said.append(f"the limit for {limit.label} in {_name(limit.group)} says nothing: no file in it arrived")
    untested = dict.fromkeys(cells.filter(pc.is_valid(cells["untested"]))["group"].to_pylist())
    if baseline and untested:
        names = [_name(group) for group in untested]
        shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
        said.append(f"not compared, as of fewer than {policy.min_videos:,} scored videos: {shown}")
    if len(baseline) == 1 and _tested(cells).num_rows:
        said.append("the baseline is a single night, so how much nights differ by themselves is not known")
    return _sentences(said)


def _shifts(canaries: pa.Table, policy: Policy) -> list[str]:
    """Each canary score that moved, the largest shift first, and each canary that cannot be compared."""
    rows = canaries.to_pylist()
    limit = policy.canary_shift_above
    # A shift that is no number is no score either, and such a scorer did not stand still.
    far = [row for row in rows if row["reason"] is None and row["shift"] is not None and not row["shift"] <= limit]
    far.sort(key=lambda row: row["shift"], reverse=True)
    lost = {row["clip"]: row["reason"] for row in rows if row["reason"] is not None}
    return [
        *(
            f"canary {_name(row['clip'])} shifts by {row['shift']:.3f} in one frame's {row['label']} score, more than "
            f"{limit:g} (mean {row['reference']:.3f} before, {row['score']:.3f} tonight)"
            for row in far
        ),
        *(f"canary {_name(clip)} cannot be compared ({_name(reason)})" for clip, reason in lost.items()),
    ]


def _rises(policy: Policy, cells: pa.Table) -> tuple[list[_Row], list[_Row]]:
    """Cells whose rise the policy fails, and those whose rise is as sure but too small for it; the clearest first."""
    sure = cells.filter(pc.less_equal(cells["q_value"], policy.rises.significance)).to_pylist()
    sure.sort(key=lambda cell: (cell["p_value"], cell["group"] == ALL))
    least = policy.rises.at_least - _ROUNDING
    return [cell for cell in sure if cell["change"] >= least], [cell for cell in sure if cell["change"] < least]


def _high_rates(policy: Policy, cells: pa.Table) -> list[str]:
    """Each limit of the policy that a rate is above, in its order."""
    rows = {(cell["label"], cell["group"]): cell for cell in cells.to_pylist()} if policy.rates else {}
    found = [(limit, rows.get((limit.label, limit.group))) for limit in policy.rates]
    return [
        _high_rate(limit, cell)
        for limit, cell in found
        if cell is not None and cell["rate"] is not None and cell["rate"] > limit.above
    ]


def _high_rate(limit: RateLimit, cell: _Row) -> str:
    between = percent_between(cell["rate_low"], cell["rate_high"])
    return (
        f"{limit.label} is in {percent(cell['rate'])} of {_videos(limit.group)} ({cell['flagged']:,} of "
        f"{cell['videos']:,}, 95 % interval {between}), above the policy's {100 * limit.above:g} %"
    )


def _too_many_failed(policy: Policy, arrivals: pa.Table) -> list[str]:
    outcomes = Counter({row["values"]: row["counts"] for row in pc.value_counts(arrivals["outcome"]).to_pylist()})
    without = {outcome: count for outcome, count in outcomes.most_common() if outcome not in HAS_FRAMES}
    failed = sum(without.values())
    if not failed or failed / arrivals.num_rows <= policy.failed_above:
        return []
    named = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in without.items())
    return [
        f"{failed:,} of {counted(arrivals.num_rows, 'file')} ({percent(failed / arrivals.num_rows)}) have no score, "
        f"above the policy's {100 * policy.failed_above:g} %: {named}"
    ]


def _failures(rises: Sequence[_Row], high: Sequence[str], failed: Sequence[str]) -> list[str]:
    """The clauses of a headline that say why a night fails; none where it does not."""
    clauses = []
    if rises:
        among = f", the clearest of {len(rises):,} rises" if len(rises) > 1 else ""
        clauses.append(f"worse than before: {_rise(rises[0])}{among}")
    if high:
        among = f", one of {len(high):,} such rates" if len(high) > 1 else ""
        clauses.append(f"{high[0]}{among}")
    return [*clauses, *failed]


def _comparison(policy: Policy, cells: pa.Table, arrivals: pa.Table, baseline: Sequence[str]) -> list[str]:
    """The clause of a headline that says what came of comparing with the baseline; none where rates rose."""
    if not arrivals.num_rows:
        return ["nothing new tonight, so there is nothing to compare"]
    if not baseline:
        scored = cells.filter(pc.equal(cells["group"], ALL))["videos"][0].as_py()
        return [f"no earlier night to compare with: {counted(scored, 'video')} scored, nothing compared"]
    rises, small = _rises(policy, cells)
    if rises:
        return []
    tested, nights = _tested(cells).num_rows, counted(len(baseline), "night")
    if not tested:
        reason = cells.filter(pc.equal(cells["group"], ALL))["untested"][0].as_py()
        return [f"nothing was compared with the {nights} before: {reason}"]
    if small:
        return [
            f"no worse than the policy allows: of {counted(tested, 'rate')} compared with {nights} the clearest "
            f"rise is below its {100 * policy.rises.at_least:g} points ({_rise(small[0])})"
        ]
    return [f"no worse than before: none of {counted(tested, 'rate')} rose by more than chance against {nights}"]


def _scorer(canaries: pa.Table, *, worse: bool) -> str:
    """The clause of a headline that says what the canaries do, where they did not move."""
    largest = pc.max(canaries["shift"]).as_py()
    if largest is None:
        what = "the corpus or the scorer changed" if worse else "the scorer moved"
        return f"no canary was compared, so whether {what} is not known"
    so = ", so it is the corpus that changed" if worse else ""
    return f"the scorer stood still (largest canary shift {largest:.3f}){so}"


def _rise(cell: _Row) -> str:
    between = points_between(cell["change_low"], cell["change_high"])
    return (
        f"{cell['label']} rose from {percent(cell['base_rate'])} to {percent(cell['rate'])} of "
        f"{_videos(cell['group'])} ({points(cell['change'])} points, 95 % interval {between})"
    )


def _chance(cell: _Row, policy: Policy) -> str:
    return (
        f"{cell['flagged']:,} of {cell['videos']:,} against {cell['base_flagged']:,} of {cell['base_videos']:,}, "
        f"q value {q_value(cell['q_value'])} where {policy.rises.significance:g} or less fails"
    )


def _tested(cells: pa.Table) -> pa.Table:
    return cells.filter(pc.is_null(cells["untested"]))


def _videos(group: str) -> str:
    return "all videos" if group == ALL else f"the videos in {_name(group)}"


def _name(text: str) -> str:
    return printable(text, NAME_CHARS)


def _sentences(clauses: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)
