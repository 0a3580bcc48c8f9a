"""What a person does next, derived from the verdict: the list below the headline."""

from collections.abc import Iterator
from dataclasses import dataclass

from artifactscan.audit.formatting import counted, night_time, percent
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.page.changes import Change, changes
from artifactscan.audit.report_data import Report, without_score
from artifactscan.messages.text import printable

_MANY_MISSED, _ENOUGH_EVENTS = 0.2, 10
"""A step is given when the usual sampling misses at least this share of a label's events, of at least this many."""
_MAX_NAMED = 3
_VALUE_CHARS = 40


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
    if failed := without_score(report.arrivals).num_rows:
        arrived = counted(report.arrivals.num_rows, "video")
        steps.append(Step(text=f"See why {failed:,} of {arrived} have no score.", anchor="outcomes"))
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
    risen = report.risen
    for cell in risen[:_MAX_NAMED]:
        where = "all videos together" if cell["group"] == ALL else cell["group"]
        text = f"{cell['label'].capitalize()} has risen in {where}: look at the {cell['flagged']:,} with an event."
        yield Step(text=text, anchor="arrivals", label=cell["label"], group=cell["group"])
    if len(risen) > _MAX_NAMED:
        yield Step(text=f"See the {counted(len(risen) - _MAX_NAMED, 'other cell')} that rose.", anchor="cells")
    if report.worst and not risen:
        yield Step(text=f"Look at the {counted(len(report.worst), 'worst video')}.", anchor="worst")
    if _scoring_changes(report):
        yield Step(text=f"Rule out our own side: {_changes_in_words(report)}.", anchor="changes")
    if report.night.verdict.worse:
        text = "If the corpus is meant to stay so, audit once with --accept-corpus; until then such nights fail."
        yield Step(text=text, anchor="cells")


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
