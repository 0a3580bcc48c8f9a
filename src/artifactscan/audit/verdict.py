"""The verdict on a night: which rules of the policy it breaks, and the sentences that say so.

Which rates rose and which canaries moved is decided here only; pages and messages ask ``broken_rules``,
``risen_cells`` and ``moved_canaries``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.canaries import compare_planted_canaries
from artifactscan.audit.formatting import (
    NAME_CHARS,
    counted,
    percent,
    percent_between,
    points,
    points_between,
    q_value,
)
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Verdict
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.policy import Policy, RateLimit
from artifactscan.messages.text import printable
from artifactscan.outcomes import HAS_FRAMES

_MAX_GROUPS_NAMED = 5
_ROUNDING = 1e-12
"""Tolerance for a difference of two shares: 0.12 - 0.05 is slightly less than 0.07."""
_MAX_HEADLINE = 114
"""Characters beyond which clauses are shortened: of four lines on a phone, with the word that begins the sentence."""
_Row = Mapping[str, Any]


class _Clause(NamedTuple):
    """A part of the headline."""

    full: str
    short: str | None = None
    """Without what the facts below the headline say as well; None where that is nothing."""
    alone: bool = False
    """Whether it is the whole headline, and always short."""

    def said(self, *, shortened: bool) -> str:
        return self.short if self.short and (shortened or self.alone) else self.full


@dataclass(frozen=True, kw_only=True)
class BrokenRules:
    """Which rules of the policy fail a night, in the order in which its verdict names them."""

    risen: Sequence[_Row]
    """CELLS rows whose rise fails the night, the smallest p value first."""
    high: Sequence[tuple[RateLimit, _Row]]
    """Exceeded limits in the policy's order, each with its CELLS row."""
    failed: str | None
    """That too many files have no score, as a clause."""

    @property
    def leading_cell(self) -> tuple[str, str] | None:
        """Label and group of the first rise, else of the first exceeded limit."""
        if self.risen:
            return self.risen[0]["label"], self.risen[0]["group"]
        return (self.high[0][0].label, self.high[0][0].group) if self.high else None

    @property
    def in_headline(self) -> frozenset[int]:
        """Positions in ``Verdict.reasons`` of the reasons that the headline gives: the first of each kind."""
        kinds = (len(self.risen), len(self.high), int(self.failed is not None))
        return frozenset(sum(kinds[:n]) for n, count in enumerate(kinds) if count)


def judge_night(
    *,
    policy: Policy,
    cells: pa.Table,
    arrivals: pa.Table,
    canaries: pa.Table,
    baseline: Sequence[str],
    unproven: Sequence[str] = (),
) -> Verdict:
    """The verdict on a night from its CELLS, ARRIVALS and CANARIES; ``baseline`` names the nights compared with.

    ``unproven``: labels of the checkpoint's Card.unproven; their rises fail no night unless the policy lists them.
    A scorer that moved comes first, and then no rate is judged. Names in the sentences are printable but not escaped
    for HTML or Markdown.
    """
    broken = broken_rules(policy, cells, arrivals, unproven)
    failed = [broken.failed] if broken.failed else []
    if shifts := _canary_reasons(policy, canaries):
        others = f" ({len(shifts) - 1:,} more moved)" if len(shifts) > 1 else ""
        return Verdict(
            code=EXIT_SCORER_MOVED,
            headline="The scorer moved, so tonight says nothing of the corpus: "
            f"{_first_shift(policy, canaries) or shifts[0]}{others}.",
            reasons=_sentences([*shifts, *failed]),
        )
    reasons = [
        *(f"{rise_in_words(cell)}, {_significance(cell, policy)}" for cell in broken.risen),
        *(_high_rate(limit, cell, unproven) for limit, cell in broken.high),
        *failed,
    ]
    clauses: list[_Clause] = [_Clause(said) for said in _failures(broken, unproven)]
    comparison = None if clauses else _comparison(policy, cells, arrivals, baseline, unproven)
    if comparison:
        clauses.append(comparison)
    if baseline and (broken.risen or not reasons) and not (comparison and comparison.alone):
        clauses.append(_scorer_clause(canaries, broken.risen[0]["label"] if broken.risen else None))
    return Verdict(
        code=EXIT_FAIL if reasons else EXIT_PASS,
        headline=_sentences([_joined(clauses)])[0],
        reasons=_sentences(reasons),
        worse=bool(broken.risen),
        q_value=min((cell["q_value"] for cell in broken.risen), default=None),
    )


def broken_rules(policy: Policy, cells: pa.Table, arrivals: pa.Table, unproven: Sequence[str] = ()) -> BrokenRules:
    """Which rules of the policy a night's CELLS and ARRIVALS break, whatever its canaries."""
    rows = {(cell["label"], cell["group"]): cell for cell in cells.to_pylist()} if policy.rates else {}
    found = [(limit, rows.get((limit.label, limit.group))) for limit in policy.rates]
    return BrokenRules(
        risen=risen_cells(policy, cells, unproven),
        high=[(limit, cell) for limit, cell in found if cell and (cell["rate"] or 0.0) > limit.above],
        failed=_too_many_failed(policy, arrivals),
    )


def comparison_in_words(
    policy: Policy, cells: pa.Table, arrivals: pa.Table, baseline: Sequence[str], unproven: Sequence[str]
) -> str | None:
    """What the comparison with the baseline says, as a sentence; None where a rise fails the night."""
    clause = _comparison(policy, cells, arrivals, baseline, unproven)
    return _sentences([clause.full])[0] if clause else None


def clearest_rise(policy: Policy, cells: pa.Table, unproven: Sequence[str] = ()) -> _Row | None:
    """The CELLS row with the smallest q value of those that rose and may fail a night; None where none rose."""
    rose = [cell for cell in _voting_cells(policy, cells, unproven).to_pylist() if (cell["change"] or 0.0) > 0]
    tested = [cell for cell in rose if cell["q_value"] is not None]
    return min(tested, key=lambda cell: (cell["q_value"], cell["p_value"]), default=None)


def risen_cells(policy: Policy, cells: pa.Table, unproven: Sequence[str] = ()) -> list[_Row]:
    """The CELLS rows whose rise fails the night, the smallest p value first."""
    voting = _voting_cells(policy, cells, unproven)
    return [cell for cell in _significant_rises(policy, voting) if _large_enough(cell, policy)]


def labels_without_vote(policy: Policy, unproven: Sequence[str]) -> list[str]:
    """The unproven labels that the policy does not list."""
    return [label for label in unproven if label not in policy.unproven]


def _voting_cells(policy: Policy, cells: pa.Table, unproven: Sequence[str]) -> pa.Table:
    silent = labels_without_vote(policy, unproven)
    return cells.filter(pc.invert(pc.is_in(cells["label"], pa.array(silent, pa.string()))))


def moved_canaries(policy: Policy, canaries: pa.Table) -> list[_Row]:
    """The CANARIES rows with a shift above the policy's limit, the largest first; a NaN counts as above it."""
    limit = policy.canary_shift_above
    rows = [row for row in canaries.to_pylist() if row["shift"] is not None and not row["shift"] <= limit]
    return sorted(rows, key=lambda row: row["shift"], reverse=True)


def scorer_moved(policy: Policy, canaries: pa.Table) -> bool:
    """Whether a score in CANARIES moved, or a clip cannot be compared, which counts as moved."""
    return bool(_canary_reasons(policy, canaries))


def remarks(
    *, policy: Policy, cells: pa.Table, baseline: Sequence[str], unproven: Sequence[str] = ()
) -> tuple[str, ...]:
    """Limits of the judgement that failed nothing, one sentence each; none where no video has a score tonight."""
    if not pc.sum(cells["videos"]).as_py():
        return ()
    found = _remarks_on_unproven(policy, cells, unproven)
    groups = set(cells["group"].to_pylist())
    for limit in policy.rates:
        if limit.group not in groups:
            found.append(f"the limit for {limit.label} in {_name(limit.group)} says nothing: no file in it arrived")
    untested = dict.fromkeys(cells.filter(pc.is_valid(cells["untested"]))["group"].to_pylist())
    if baseline and untested:
        names = [_name(group) for group in untested]
        more = f" and {len(names) - _MAX_GROUPS_NAMED:,} more" if len(names) > _MAX_GROUPS_NAMED else ""
        found.append(
            f"not compared, as of fewer than {policy.min_videos:,} scored videos: "
            f"{', '.join(names[:_MAX_GROUPS_NAMED])}{more}"
        )
    if len(baseline) == 1 and _tested(cells):
        found.append("the baseline is a single night, so how much nights differ by themselves is not known")
    return _sentences(found)


def _remarks_on_unproven(policy: Policy, cells: pa.Table, unproven: Sequence[str]) -> list[str]:
    silent = labels_without_vote(policy, unproven)
    if not silent:
        return []
    of_silent = cells.filter(pc.is_in(cells["label"], pa.array(silent, pa.string())))
    rises = [cell for cell in _significant_rises(policy, of_silent) if _large_enough(cell, policy)]
    return [
        f"unproven: {', '.join(silent)}; the checkpoint's scores are not shown to be better than chance on unseen "
        "clips, so a rise fails no night unless the policy's key unproven lists the label",
        *(f"without a vote, as unproven: {rise_in_words(cell)}" for cell in rises[:_MAX_GROUPS_NAMED]),
    ]


def _significant_rises(policy: Policy, cells: pa.Table) -> list[_Row]:
    """Cells that rose by more than chance, however little; the smallest p value first, single groups before ALL."""
    significant = cells.filter(pc.less_equal(cells["q_value"], policy.rises.significance)).to_pylist()
    rises = [cell for cell in significant if cell["change"] > 0]
    return sorted(rises, key=lambda cell: (cell["p_value"], cell["group"] == ALL))


def _large_enough(cell: _Row, policy: Policy) -> bool:
    return cell["change"] >= policy.rises.at_least - _ROUNDING


def _canary_reasons(policy: Policy, canaries: pa.Table) -> list[str]:
    """Each canary score that moved, the largest shift first, then each canary that cannot be compared."""
    not_compared = {row["clip"]: row["reason"] for row in canaries.to_pylist() if row["reason"] is not None}
    return [
        *(
            f"canary {_name(row['clip'])} shifts by {row['shift']:.3f} in one frame's {row['label']} score, more than "
            f"{policy.canary_shift_above:g} (mean {row['reference']:.3f} before, {row['score']:.3f} tonight)"
            for row in moved_canaries(policy, canaries)
        ),
        *(f"canary {_name(clip)} cannot be compared ({_name(reason)})" for clip, reason in not_compared.items()),
    ]


def _first_shift(policy: Policy, canaries: pa.Table) -> str | None:
    """The largest shift as a short clause; None where no shift is above the limit."""
    moved = moved_canaries(policy, canaries)
    if not moved:
        return None
    row = moved[0]
    return f"the {row['label']} score of canary {_name(row['clip'])} shifted by {row['shift']:.3f}"


def _high_rate(limit: RateLimit, cell: _Row, unproven: Sequence[str]) -> str:
    between = percent_between(cell["rate_low"], cell["rate_high"])
    counts = f" ({cell['flagged']:,} of {cell['videos']:,}, 95 % interval {between})"
    return _high_rate_in_short(limit, cell, unproven, counts)


def _high_rate_in_short(limit: RateLimit, cell: _Row, unproven: Sequence[str], counts: str = "") -> str:
    label = f"{limit.label} (unproven)" if limit.label in unproven else limit.label
    return (
        f"{label} is in {percent(cell['rate'])} of {_videos(limit.group)}{counts}, above the policy's "
        f"{100 * limit.above:g} %"
    )


def _too_many_failed(policy: Policy, arrivals: pa.Table) -> str | None:
    outcomes = Counter({row["values"]: row["counts"] for row in pc.value_counts(arrivals["outcome"]).to_pylist()})
    without = {outcome: count for outcome, count in outcomes.most_common() if outcome not in HAS_FRAMES}
    failed = sum(without.values())
    if not failed or failed / arrivals.num_rows <= policy.failed_above:
        return None
    named = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in without.items())
    return (
        f"{failed:,} of {counted(arrivals.num_rows, 'file')} ({percent(failed / arrivals.num_rows)}) "
        f"{'has' if failed == 1 else 'have'} no score, above the policy's {100 * policy.failed_above:g} %: {named}"
    )


def _failures(broken: BrokenRules, unproven: Sequence[str]) -> list[str]:
    """The headline's clauses that say why a night fails, without intervals, which the reasons give."""
    clauses = []
    if broken.risen:
        among = f", the clearest of {len(broken.risen):,} rises" if len(broken.risen) > 1 else ""
        clauses.append(f"{_rise_in_short(broken.risen[0])}{among}")
    if broken.high:
        among = f", one of {len(broken.high):,} such rates" if len(broken.high) > 1 else ""
        clauses.append(f"{_high_rate_in_short(*broken.high[0], unproven)}{among}")
    return [*clauses, *([broken.failed] if broken.failed else [])]


def _joined(clauses: Sequence[_Clause]) -> str:
    """The clauses with a semicolon between them, shortened from the first on until they are short enough."""
    for shortened in range(len(clauses) + 1):
        said = "; ".join(clause.said(shortened=n < shortened) for n, clause in enumerate(clauses))
        if len(said) < _MAX_HEADLINE:
            break
    return said


def _comparison(
    policy: Policy, cells: pa.Table, arrivals: pa.Table, baseline: Sequence[str], unproven: Sequence[str]
) -> _Clause | None:
    """A clause on the comparison with the baseline; None where a rise fails the night."""
    if not arrivals.num_rows:
        return _Clause("nothing new tonight, so there is nothing to compare")
    if not baseline:
        scored = cells.filter(pc.equal(cells["group"], ALL))["videos"][0].as_py()
        return _Clause(f"no earlier night to compare with: {counted(scored, 'video')} scored, nothing compared")
    cells = _voting_cells(policy, cells, unproven)
    if not cells.num_rows:
        short = "no rate was compared, as every label is unproven"
        why = "the checkpoint's scores are not shown to be better than chance on unseen clips"
        return _Clause(f"{short}: {why}", short)
    tested, nights = _tested(cells), counted(len(baseline), "night")
    rises = _significant_rises(policy, cells)
    if any(_large_enough(cell, policy) for cell in rises):
        return None
    if not tested:
        whole = cells.filter(pc.equal(cells["group"], ALL)).to_pylist()[0]
        return _Clause(
            f"nothing was compared with the {nights} before: {whole['untested']}",
            f"nothing was compared, as {_too_few(whole, policy)} and {policy.min_videos:,} are needed",
            alone=True,
        )
    if rises:
        short = "no worse than the policy allows"
        return _Clause(
            f"{short}: of {counted(tested, 'rate')} compared with {nights} the clearest rise is below its "
            f"{100 * policy.rises.at_least:g} points ({_rise_in_short(rises[0])}, {points(rises[0]['change'])} points)",
            short,
        )
    return _Clause(
        f"no worse than before: none of {counted(tested, 'rate')} rose by more than chance against {nights}",
        f"no worse than before in {counted(tested, 'rate')}",
    )


def _too_few(whole: _Row, policy: Policy) -> str:
    """Which of tonight and the baseline has too few scored videos, tonight first."""
    if whole["videos"] < policy.min_videos:
        return f"tonight has {counted(whole['videos'], 'scored video')}"
    return f"the baseline has {counted(whole['base_videos'], 'scored video')}"


def _scorer_clause(canaries: pa.Table, risen_label: str | None) -> _Clause:
    """The headline's clause on canaries that did not move: whether the corpus or the scorer changed.

    Canaries tell a change of the scorer only where clips with planted defects score above the others.
    """
    what = "the corpus or the scorer changed" if risen_label else "the scorer moved"
    unknown = f"whether {what} is not known"
    if pc.max(canaries["shift"]).as_py() is None:
        return _Clause(f"no canary was compared, so {unknown}", unknown)
    sees = compare_planted_canaries(canaries)
    unseen = [one.label for one in sees if one.decidable and not one.found]
    if risen_label in unseen:
        return _Clause(f"{unknown}, as the canaries cannot see {risen_label}", unknown)
    if not risen_label and unseen and not any(one.found for one in sees):
        return _Clause(f"{unknown}, as the canaries cannot see a change", unknown)
    return _Clause("the corpus changed, not the scorer" if risen_label else "the scorer stood still")


def rise_in_words(cell: _Row) -> str:
    """A CELLS row that was compared, as a clause with the interval of its change."""
    between = points_between(cell["change_low"], cell["change_high"])
    return f"{_rise_in_short(cell)} ({points(cell['change'])} points, 95 % interval {between})"


def _rise_in_short(cell: _Row) -> str:
    return (
        f"{cell['label']} rose from {percent(cell['base_rate'])} to {percent(cell['rate'])} of {_videos(cell['group'])}"
    )


def _significance(cell: _Row, policy: Policy) -> str:
    return (
        f"{cell['flagged']:,} of {cell['videos']:,} against {cell['base_flagged']:,} of {cell['base_videos']:,}, "
        f"q value {q_value(cell['q_value'])} where {policy.rises.significance:g} or less fails"
    )


def _tested(cells: pa.Table) -> int:
    return cells["untested"].null_count


def _videos(group: str) -> str:
    return "all videos" if group == ALL else f"the videos in {_name(group)}"


def _name(text: str) -> str:
    return printable(text, NAME_CHARS)


def _sentences(clauses: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)
