"""What a night says in a terminal or a job's log: the verdict in its first line."""

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Night
from artifactscan.audit.rejudge import Anew, Rejudged
from artifactscan.audit.formatting import counted
from artifactscan.messages.text import printable

_NAMED = 5
"""Videos that a line names at most."""
_NAMES = {EXIT_PASS: "pass", EXIT_FAIL: "fail", EXIT_SCORER_MOVED: "the scorer moved"}
_STYLES = {EXIT_PASS: "green", EXIT_FAIL: "bold red"}


def print_night(night: Night, sampling: pa.Table, page: str, out: Console) -> None:
    """The verdict and its reasons, what was done, what the usual rate misses (SAMPLING), and where the page lies."""
    verdict = night.verdict
    _say(out, verdict.headline, _STYLES.get(verdict.code, "bold yellow"))
    for reason in verdict.reasons:
        _say(out, f"  - {reason}")
    if night.counts:
        out.print(_counts(night))
    for row in sampling.to_pylist():
        if row["events"]:
            _say(
                out,
                f"at double the rate {counted(row['events'], row['label'] + ' event')} found in "
                f"{counted(row['videos'], 'video')}, of which the usual rate misses {row['missed']:,}",
            )
    for note in (*night.notes, *night.remarks):
        _say(out, f"note: {note}")
    _say(out, f"page  {page}")


def print_rejudged(anew: Anew, out: Console) -> int:
    """The chosen night's verdict and everything that flips; returns the verdict's code."""
    verdict = anew.night.verdict
    _say(out, verdict.headline, _STYLES.get(verdict.code, "bold yellow"))
    for reason in verdict.reasons:
        _say(out, f"  - {reason}")
    flips = [one for one in anew.rejudged if one.before.code != one.night.verdict.code]
    if anew.rejudged:
        _say(out, f"{len(flips)} of {len(anew.rejudged)} nights have another verdict")
    for one in flips:
        _say(out, f"  night {one.night.night}: {_NAMES[one.before.code]} → {_NAMES[one.night.verdict.code]}")
        _say(out, f"    {one.night.verdict.headline}")
    for one in anew.rejudged:
        _flipped_videos(one, out)
    if anew.page is None:
        _say(out, "nothing was written (--plan)")
    else:
        _say(out, f"page  {anew.page}")
    return verdict.code


def _flipped_videos(rejudged: Rejudged, out: Console) -> None:
    for label, (gained, lost) in rejudged.flipped.items():
        for what, paths in (("with an event now", gained), ("without one any more", lost)):
            if paths:
                more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
                named = f"{', '.join(paths[:_NAMED])}{more}"
                _say(out, f"  night {rejudged.night.night}, {label}: {counted(len(paths), 'video')} {what}: {named}")


def _counts(night: Night) -> Table:
    table = Table(title=f"Night {night.night}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    scored = night.outcomes.get("scored", 0) + night.outcomes.get("partial", 0)
    counts = night.counts
    table.add_row("videos in the corpus", f"{counts['listed']:,}")
    table.add_row("new, changed, removed", f"{counts['new']:,}, {counts['changed']:,}, {counts['removed']:,}")
    table.add_row("tonight's videos, with a score", f"{counts['arrivals']:,}, {scored:,}")
    table.add_row("quarantined: failed before, not tried every night", f"{counts['quarantined']:,}")
    return table


def _say(out: Console, text: str, style: str = "") -> None:
    out.print(Text(printable(text), style=style), soft_wrap=True)
