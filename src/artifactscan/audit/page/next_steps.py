"""What a person does next, derived from the verdict: the list below the headline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.audit.formatting import counted, night_time, percent
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.page.changes import Change, changes
from artifactscan.audit.report_data import Report, failures, without_score
from artifactscan.messages.text import printable

_MANY_MISSED, _ENOUGH_EVENTS = 0.2, 10
"""A step is given when the usual sampling misses at least this share of a label's events, of at least this many."""
_MAX_NAMED = 3
_VALUE_CHARS = 40
_REASON_CHARS = 120


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something a person does next."""

    text: str
    anchor: str
    """The page's section that it is about."""
    label: str | None = None
    """With ``group``: the filter of the table of arrivals that it leads to."""
    group: str | None = None


def next_steps(report: Report) -> list[Step]:
    """What a person does next, the most urgent first."""
    steps = list(_BY_VERDICT[report.night.verdict.code](report))
    sample = report.tonight_s_sample
    if sample is not None and sample["labelled_clips"] < sample["drawn"]:
        left = counted(sample["drawn"] - sample["labelled_clips"], "clip")
        text = f"Label the {left} left in tonight's sample: the estimates get narrower with each."
        steps.append(Step(text=text, anchor="estimates"))
    if without_score(report.arrivals).num_rows and not any(step.anchor == "outcomes" for step in steps):
        steps.append(_look_at_failures(report))
    for row in report.sampling.to_pylist():
        if row["events"] >= _ENOUGH_EVENTS and row["missed"] >= _MANY_MISSED * row["events"]:
            share = percent(row["missed"] / row["events"])
            text = f"The usual sampling misses {share} of {row['label']} events; a higher --sample-fps finds them."
            steps.append(Step(text=text, anchor="sampling"))
    return steps or [Step(text="Nothing has to be done.", anchor="cells")]


def _after_pass(report: Report) -> Iterator[Step]:
    if report.worst:
        text = f"Nothing has to be done; worth a look: the {counted(len(report.worst), 'worst video')}."
        yield Step(text=text, anchor="worst")


def _after_fail(report: Report) -> Iterator[Step]:
    """What failed the night comes first, in the order of the verdict's reasons."""
    risen, high = report.risen, report.broken.high
    for cell in risen[:_MAX_NAMED]:
        text = f"{cell['label'].capitalize()} has risen in {_where(cell['group'])}: {_look_at_flagged(cell)}."
        yield Step(text=text, anchor="arrivals", label=cell["label"], group=cell["group"])
    if len(risen) > _MAX_NAMED:
        yield Step(text=f"See the {counted(len(risen) - _MAX_NAMED, 'other cell')} that rose.", anchor="cells")
    for limit, cell in high[:_MAX_NAMED]:
        above = f"above the policy's {100 * limit.above:g} % in {_where(limit.group)}"
        text = f"{limit.label.capitalize()} is {above}: {_look_at_flagged(cell)}."
        yield Step(text=text, anchor="arrivals", label=limit.label, group=limit.group)
    if report.broken.failed:
        yield _look_at_failures(report)
    if report.worst and not risen and not high:
        yield Step(text=f"Look at the {counted(len(report.worst), 'worst video')}.", anchor="worst")
    if _scoring_changes(report):
        yield Step(text=f"Rule out our own side: {_changes_in_words(report)}.", anchor="changes")
    if report.night.verdict.worse:
        text = "If the corpus is meant to stay so, audit once with --accept-corpus; until then such nights fail."
        yield Step(text=text, anchor="cells")


def _where(group: str) -> str:
    return "all videos together" if group == ALL else group


def _look_at_flagged(cell: Mapping[str, Any]) -> str:
    return f"look at the {cell['flagged']:,} with an event"


def _look_at_failures(report: Report) -> Step:
    """Names the file where there is one, else the most frequent reason and an example of it."""
    failed = without_score(report.arrivals)
    of = f"{failed.num_rows:,} of {counted(report.arrivals.num_rows, 'video')}"
    text = f"See why {of} {'has' if failed.num_rows == 1 else 'have'} no score"
    if found := failures(failed):
        text += f": {found[0].example} {'is' if failed.num_rows == 1 else 'for instance is'} "
        text += f"{found[0].outcome.replace('_', ' ')} ({printable(found[0].reason, _REASON_CHARS)})"
    return Step(text=f"{text}.", anchor="outcomes")


def _after_move(report: Report) -> Iterator[Step]:
    yield Step(text="Do not act on tonight's rates: scores are not comparable with earlier nights.", anchor="canaries")
    yield Step(text=f"Find what moved the scorer: {_changes_in_words(report)}.", anchor="changes")
    yield Step(
        text="If that was meant, audit once with --accept-scorer, which makes tonight's scorer the reference; "
        "if not, put back what was there before and audit again.",
        anchor="changes",
    )


_BY_VERDICT = {EXIT_PASS: _after_pass, EXIT_FAIL: _after_fail, EXIT_SCORER_MOVED: _after_move}


def _scoring_changes(report: Report) -> list[Change]:
    """The changes that can move scores: not those of the policy, of paths and of what the page shows."""
    found = changes(report.previous, report.night)
    return [change for change in found if change.kind not in ("policy", "setting")]


def _changes_in_words(report: Report) -> str:
    if report.previous is None:
        return "there is no night before to compare with"
    since = night_time(report.previous.night)
    found = _scoring_changes(report)
    if not found:
        return f"no version or setting that is recorded changed since {since}, so look at drivers and machines"
    named = ", ".join(
        " ".join(printable(text, _VALUE_CHARS) for text in (change.name, change.before, "→", change.tonight))
        for change in found[:_MAX_NAMED]
    )
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    return f"since {since} {named}{more}"
