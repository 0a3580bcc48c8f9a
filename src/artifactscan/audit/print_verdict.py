"""Prints nights in a terminal or a job's log: the verdict in the first line."""

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.audit.brief.night_brief import NightBrief
from artifactscan.audit.formatting import counted, percent, percent_between
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, VERDICT_WORDS, Night, Verdict
from artifactscan.audit.night_tables import TONIGHT
from artifactscan.audit.rejudge import RejudgedNight, RejudgeResult
from artifactscan.audit.statistics.label_estimates import CLIPS, leading
from artifactscan.messages.text import printable
from artifactscan.outcomes import HAS_FRAMES

_MAX_NAMED = 5
"""Most videos that a line names."""
_STYLES = {EXIT_PASS: "green", EXIT_FAIL: "bold red"}


def print_night(
    brief: NightBrief, night: Night, sampling: pa.Table, estimates: pa.Table, page: str, out: Console
) -> None:
    """The verdict and what it rests on, the clips to look at, counts, ESTIMATES, what the usual rate misses (SAMPLING),
    notes, the page's URI."""
    _print(out, brief.sentence, _STYLES.get(brief.code, "bold yellow"))
    for fact in brief.facts:
        _print(out, f"  {fact.name}: {fact.text}")
    for reason in brief.others:
        _print(out, f"  - {reason}")
    for clip in brief.clips:
        _print(out, f"  look at {clip.path}: {clip.in_words}")
    if night.counts:
        out.print(_counts(night))
    for row in leading(estimates):
        if row["unit"] == CLIPS and row["estimate"] is not None:
            between = percent_between(row["estimate_low"], row["estimate_high"])
            when = "tonight's clips" if row["scope"] == TONIGHT else "the clips of the last labelled nights"
            _print(
                out,
                f"{row['label']} is in {percent(row['estimate'])} of {when} ({between}), by labels of "
                f"{row['labelled_by']} on {row['labelled_clips']:,}; flagged {percent(row['flag_rate'])}",
            )
    for row in sampling.to_pylist():
        if row["events"]:
            _print(
                out,
                f"at double the rate {counted(row['events'], row['label'] + ' event')} found in "
                f"{counted(row['videos'], 'video')}, of which the usual rate misses {row['missed']:,}",
            )
    for note in (*night.notes, *night.remarks):
        _print(out, f"note: {note}")
    _print(out, f"page  {page}")


def print_rejudged(result: RejudgeResult, out: Console) -> int:
    """The chosen night's verdict and everything that flips; returns the verdict's code."""
    _print_verdict(result.night.verdict, out)
    flips = [one for one in result.rejudged if one.before.code != one.night.verdict.code]
    if result.rejudged:
        _print(out, f"{len(flips)} of {len(result.rejudged)} nights have another verdict")
    for one in flips:
        before, now = (VERDICT_WORDS[verdict.code].lower() for verdict in (one.before, one.night.verdict))
        _print(out, f"  night {one.night.night}: {before} → {now}")
        _print(out, f"    {one.night.verdict.sentence}")
    for one in result.rejudged:
        _print_flipped_videos(one, out)
    _print(out, "nothing was written (--plan)" if result.page is None else f"page  {result.page}")
    return result.night.verdict.code


def _print_verdict(verdict: Verdict, out: Console) -> None:
    _print(out, verdict.sentence, _STYLES.get(verdict.code, "bold yellow"))
    for reason in verdict.reasons:
        _print(out, f"  - {reason}")


def _print_flipped_videos(rejudged: RejudgedNight, out: Console) -> None:
    for label, (gained, lost) in rejudged.flipped.items():
        for what, paths in (("with an event now", gained), ("without one any more", lost)):
            if paths:
                more = f" and {len(paths) - _MAX_NAMED:,} more" if len(paths) > _MAX_NAMED else ""
                named = f"{', '.join(paths[:_MAX_NAMED])}{more}"
                _print(out, f"  night {rejudged.night.night}, {label}: {counted(len(paths), 'video')} {what}: {named}")


def _counts(night: Night) -> Table:
    table = Table(title=f"Night {night.night}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    scored = sum(night.outcomes.get(outcome, 0) for outcome in HAS_FRAMES)
    counts = night.counts
    table.add_row("videos in the corpus", f"{counts['listed']:,}")
    table.add_row("new, changed, removed", f"{counts['new']:,}, {counts['changed']:,}, {counts['removed']:,}")
    table.add_row("tonight's videos, with a score", f"{counts['arrivals']:,}, {scored:,}")
    table.add_row("quarantined: failed before, not tried every night", f"{counts['quarantined']:,}")
    return table


def _print(out: Console, text: str, style: str = "") -> None:
    out.print(Text(printable(text), style=style), soft_wrap=True)
