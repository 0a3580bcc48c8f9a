"""What the page and the message for chat say beside the tables: steps to take, cells that matter, what changed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Night, Report
from artifactscan.audit.policy import Policy, RiseLimit, parse_policy
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.settings import SECRETS
from artifactscan.audit.formatting import counted, night_time, percent
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable
from artifactscan.outcomes import HAS_FRAMES

WORDS = {EXIT_PASS: "Pass", EXIT_FAIL: "Fail", EXIT_SCORER_MOVED: "Scorer moved"}
"""A verdict's code in words."""
KINDS = {EXIT_PASS: "pass", EXIT_FAIL: "fail", EXIT_SCORER_MOVED: "moved"}
"""A verdict's code as a class of the page's style."""
_MANY_MISSED, _ENOUGH_EVENTS = 0.2, 10
"""Share of a label's events that the usual sampling misses from which on it is worth a step, and of how many."""
_FEW = 3
_ROUNDING = 1e-12
"""As in the verdict: a difference of two shares may be so much off."""
_VALUE_CHARS = 40


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something a person does next."""

    text: str
    anchor: str
    """The page's section that it is about."""
    label: str | None = None
    """The label whose flagged videos it is about, and their group."""
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting, version or threshold that is not as it was the night before."""

    kind: str
    name: str
    before: str
    tonight: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Arrivals that have no score, and why."""

    outcome: str
    reason: str
    videos: int
    example: str
    """The path of one of them."""


def policy(night: Night) -> Policy:
    """The policy that a night was judged by; UsageError where this version does not know it."""
    return parse_policy(night.policy, f"policy of night {night.night}")


def ordered_cells(report: Report) -> list[dict[str, Any]]:
    """Rows of CELLS with ``state``: risen, fallen or empty, where a cell differs from its baseline by more than chance.

    Risen first, the surest before the others; then those of all videos together; then by rate.
    """
    rises = policy(report.night).rises
    cells = [{**cell, "state": _state(cell, rises)} for cell in report.cells.to_pylist()]
    return sorted(
        cells,
        key=lambda cell: (
            cell["state"] != "risen",
            cell["q_value"] if cell["state"] == "risen" else 0.0,
            cell["group"] != ALL,
            -(cell["rate"] if cell["rate"] is not None else -1.0),
            LABELS.index(cell["label"]),
            cell["group"],
        ),
    )


def risen(report: Report) -> list[dict[str, Any]]:
    """The CELLS rows whose rate has risen as the policy says, the surest first."""
    return [cell for cell in ordered_cells(report) if cell["state"] == "risen"]


def _state(cell: Mapping[str, Any], rises: RiseLimit) -> str:
    change, q, high = cell["change"], cell["q_value"], cell["change_high"]
    if change is None:
        return ""
    if q is not None and q <= rises.significance and change > 0 and change >= rises.at_least - _ROUNDING:
        return "risen"
    return "fallen" if change < 0 and high is not None and high < 0 else ""


def moved_canaries(report: Report) -> set[tuple[str, str]]:
    """Clip and label of the canaries whose score shifted by more than the policy allows."""
    most = policy(report.night).canary_shift_above
    return {
        (row["clip"], row["label"])
        for row in report.canaries.to_pylist()
        # As in the verdict, a shift that is no number is no score either.
        if row["shift"] is not None and not row["shift"] <= most
    }


def rate_limit(report: Report, label: str, group: str) -> float | None:
    """The rate above which the policy fails a night for this label and group; the lowest where there are several."""
    limits = [one.above for one in policy(report.night).rates if (one.label, one.group) == (label, group)]
    return min(limits, default=None)


def rows_of(table: pa.Table, videos: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of these video_ids."""
    return table.filter(pc.is_in(table["video_id"], pa.array(videos, pa.string()))).to_pylist()


def without_score(arrivals: pa.Table) -> pa.Table:
    """The arrivals that no frame of was scored."""
    return arrivals.filter(pc.invert(pc.is_in(arrivals["outcome"], pa.array([str(outcome) for outcome in HAS_FRAMES]))))


def failures(arrivals: pa.Table) -> list[Failure]:
    """Why arrivals have no score or lost frames, the most frequent reason first."""
    rows = arrivals.filter(pc.is_valid(arrivals["reason"])).select(["outcome", "reason", "path"])
    examples: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for outcome, reason, path in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True):
        counts[outcome, reason] += 1
        examples.setdefault((outcome, reason), path)
    return [
        Failure(outcome=outcome, reason=reason, videos=count, example=examples[outcome, reason])
        for (outcome, reason), count in counts.most_common()
    ]


def changes(previous: Night | None, night: Night) -> list[Change]:
    """What differs between two nights in what they were asked and what ran; nothing where there is no previous."""
    if previous is None:
        return []
    kinds = {
        "version": (previous.versions, night.versions),
        "checkpoint": (previous.checkpoint, night.checkpoint),
        "threshold": (previous.thresholds, night.thresholds),
        "event": (previous.events, night.events),
        "policy": (previous.policy, night.policy),
        "spec": (previous.spec, night.spec),
        "setting": (public(previous.settings), public(night.settings)),
    }
    return [
        Change(kind=kind, name=name, before=before.get(name, "not set"), tonight=tonight.get(name, "not set"))
        for kind, (old, new) in kinds.items()
        for before, tonight in [(dict(flat(old)), dict(flat(new)))]
        for name in {**before, **tonight}
        if before.get(name) != tonight.get(name)
    ]


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that let a reader act in the audit's name."""
    return {name: value for name, value in settings.items() if name not in SECRETS}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _in_words(value)


def next_steps(report: Report) -> list[Step]:
    """What a person does next, the most urgent first."""
    steps = list(_OF_VERDICT[report.night.verdict.code](report))
    failed = without_score(report.arrivals).num_rows
    if failed:
        steps.append(
            Step(
                text=f"See why {failed:,} of {counted(report.arrivals.num_rows, 'video')} have no score.",
                anchor="outcomes",
            )
        )
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
    found = risen(report)
    for cell in found[:_FEW]:
        where = "all videos together" if cell["group"] == ALL else cell["group"]
        text = f"{cell['label'].capitalize()} has risen in {where}: look at the {cell['flagged']:,} with an event."
        yield Step(text=text, anchor="arrivals", label=cell["label"], group=cell["group"])
    if len(found) > _FEW:
        yield Step(text=f"See the {counted(len(found) - _FEW, 'other cell')} that rose.", anchor="cells")
    if report.worst and not found:
        yield Step(text=f"Look at the {counted(len(report.worst), 'worst video')}.", anchor="worst")
    if _of_our_side(report):
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


_OF_VERDICT = {EXIT_PASS: _after_pass, EXIT_FAIL: _after_fail, EXIT_SCORER_MOVED: _after_move}


def _of_our_side(report: Report) -> list[Change]:
    """The changes that can move scores; by a policy or a place they are only judged or kept otherwise."""
    found = changes(report.previous, report.night)
    return [change for change in found if change.kind not in ("policy", "setting")]


def _changes_in_words(report: Report) -> str:
    if report.previous is None:
        return "there is no night before to compare with"
    since = night_time(report.previous.night)
    found = _of_our_side(report)
    if not found:
        return f"no version or setting that is recorded changed since {since}, so look at drivers and machines"
    named = ", ".join(
        " ".join(printable(text, _VALUE_CHARS) for text in (change.name, change.before, "→", change.tonight))
        for change in found[:_FEW]
    )
    more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return f"since {since} {named}{more}"


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
