"""Rows of the labels table that belong to one frame, merged by a rule."""

from collections.abc import Iterable
from itertools import combinations, groupby
from statistics import fmean
from typing import Literal, NamedTuple

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_POSITIVE
from artifactscan.messages.text import printable

Rule = Literal["error", "any", "all", "majority", "keep"]
"""How rows of one frame with different labels are merged: a UsageError; 1 where any, all or most annotators say 1; or
one row per annotator is kept. Graded rows are averaged: under ``error`` they are no contradiction, and a label is 1
from a mean of SEVERITY_POSITIVE on; the other rules count each row's own label, and a tie of graded rows is decided by
the mean."""

SEVERAL = "; "
"""Stands between the annotators of a merged row."""
NOT_NAMED = "not named"
"""Stands for an annotator without a name among those of a merged row."""


class LabelRow(NamedTuple):
    """A checked row of a labels table."""

    number: int
    """Counted from 1."""
    file: str
    frame_index: int
    labels: tuple[int, ...]
    severities: tuple[float, ...] | None
    """0 to MAX_SEVERITY in label order; None for a row without grades."""
    annotator: str | None
    note: str | None
    generator: str | None = None

    @property
    def frame(self) -> tuple[str, int]:
        return self.file, self.frame_index


def labels_of_severities(severities: Iterable[float]) -> tuple[int, ...]:
    """0 or 1 for each severity: 1 from SEVERITY_POSITIVE on."""
    return tuple(int(severity >= SEVERITY_POSITIVE) for severity in severities)


def merge_rows(rows: Iterable[LabelRow], rule: Rule, source: str) -> list[LabelRow]:
    """One row per frame, or with ``keep`` per frame and annotator, sorted by frame; ``source`` names them in errors.

    A row without an annotator counts as another annotator's. UsageError for rows that the rule cannot merge, under
    every rule for one annotator's different labels or grades of a frame, and where votes or grades are counted for a
    merged row that has an annotator in common with another row.
    """
    merged: list[LabelRow] = []
    for _, same_frame in groupby(sorted(rows, key=lambda row: (row.frame, row.number)), key=lambda row: row.frame):
        group = list(same_frame)
        graded = _one_per_grader(group, source)
        if rule == "keep":
            merged += _one_per_annotator(group, source)
            continue
        if rule != "error":
            _refuse_shared_annotators(group, source)
        elif len(graded) > 1:
            _refuse_shared_annotators(graded, source)
        if len(group) == 1:
            merged += group
        else:
            severities = tuple(map(fmean, zip(*(row.severities or () for row in graded), strict=True))) or None
            if rule == "error":
                labels = _agreed_labels(group, graded, severities, source)
            else:
                labels = _vote(_ballots(group, source), rule, severities, source)
            annotator, note = _join(row.annotator for row in group), _join(row.note for row in group)
            if severities and labels != labels_of_severities(severities) and SEVERAL not in (annotator or ""):
                annotator = SEVERAL.join(row.annotator or NOT_NAMED for row in group)  # read back as a merged row
            maker = _one_generator(group, source)
            merged.append(
                group[0]._replace(labels=labels, severities=severities, annotator=annotator, note=note, generator=maker)
            )
    return merged


def _one_per_grader(group: list[LabelRow], source: str) -> list[LabelRow]:
    """The graded rows of one frame, one per annotator; UsageError where one has two that differ."""
    first_of: dict[str | int, LabelRow] = {}
    for row in group:
        if row.severities is None:
            continue
        first = first_of.setdefault(row.annotator or row.number, row)
        if first.severities is not None and first.severities != row.severities:
            n = next(n for n in range(len(LABELS)) if first.severities[n] != row.severities[n])
            raise UsageError(
                f"labels {source}: rows {first.number} and {row.number}, both by {_quoted(row.annotator or '')}, grade "
                f"frame {row.frame_index} of {_quoted(row.file)} differently ({LABELS[n]} {first.severities[n]:g} and "
                f"{row.severities[n]:g}); keep the one that holds"
            )
    return list(first_of.values())


def _one_per_annotator(group: list[LabelRow], source: str) -> list[LabelRow]:
    """The rows of one frame, one per annotator, a graded one where there is one.

    Of rows without an annotator those with grades are all kept, and of the others one per set of labels.
    """
    distinct: dict[tuple, LabelRow] = {}
    for row in sorted(group, key=lambda row: row.severities is None):
        unnamed = (None, row.labels if row.severities is None else row.number)
        first = distinct.setdefault((row.annotator,) if row.annotator else unnamed, row)
        if first.labels != row.labels:
            raise UsageError(_two_ways(first, row, source))
    return list(distinct.values())


def _agreed_labels(
    group: list[LabelRow], graded: list[LabelRow], severities: tuple[float, ...] | None, source: str
) -> tuple[int, ...]:
    """The labels on which all rows of one frame agree; those of several graded rows are of their mean."""
    first = graded[0] if graded else group[0]
    if severities and len(graded) > 1:
        first = first._replace(labels=labels_of_severities(severities))
    if other := next((row for row in group if row.severities is None and row.labels != first.labels), None):
        if other.annotator and other.annotator == first.annotator:
            raise UsageError(_two_ways(first, other, source))
        way_out = "give a rule to merge them: --label-rule any, all or majority"
        raise UsageError(f"{_contradiction(first, other, source)}; {way_out}")
    return first.labels


def _ballots(group: list[LabelRow], source: str) -> list[LabelRow]:
    """The rows of one frame, one per annotator, a graded one where there is one; UsageError where labels differ."""
    first_of: dict[str | int, LabelRow] = {}
    for row in sorted(group, key=lambda row: row.severities is None):
        first = first_of.setdefault(row.annotator or row.number, row)
        if first.labels != row.labels:
            raise UsageError(_two_ways(first, row, source))
    return list(first_of.values())


def _refuse_shared_annotators(group: list[LabelRow], source: str) -> None:
    """UsageError for a merged row that has some annotators in common with another: these would count twice."""
    names = {row.annotator: row for row in group if row.annotator}
    for one, other in combinations(names, 2):
        if both := sorted(set(one.split(SEVERAL)) & set(other.split(SEVERAL)) - {NOT_NAMED}):
            raise UsageError(
                f"labels {source}: rows {names[one].number} and {names[other].number} both count {_quoted(both[0])} in "
                f"frame {group[0].frame_index} of {_quoted(group[0].file)}, by {_quoted(one)} and {_quoted(other)}; "
                "merge each annotator's own labels once"
            )


def _vote(ballots: list[LabelRow], rule: Rule, means: tuple[float, ...] | None, source: str) -> tuple[int, ...]:
    """The labels of one frame by a rule, from one row per annotator.

    ``means``: of the grades, which decide a tie where every ballot has grades.
    """
    yes = [sum(row.labels[n] for row in ballots) for n in range(len(LABELS))]
    if rule == "any":
        return tuple(int(votes > 0) for votes in yes)
    if rule == "all":
        return tuple(int(votes == len(ballots)) for votes in yes)
    tied = [2 * votes == len(ballots) for votes in yes]
    if any(tied) and not all(row.severities for row in ballots):
        raise UsageError(
            f"labels {source}: {LABELS[tied.index(True)]} of frame {ballots[0].frame_index} of "
            f"{_quoted(ballots[0].file)} has as many votes for 0 as for 1, so there is no majority; "
            "add a vote, or use the rule any or all"
        )
    by_mean = labels_of_severities(means or ())
    return tuple(by_mean[n] if tied[n] else int(2 * yes[n] > len(ballots)) for n in range(len(LABELS)))


def _one_generator(group: list[LabelRow], source: str) -> str | None:
    """The generator that the rows of one frame name; UsageError where they name two."""
    named = [row for row in group if row.generator]
    if other := next((row for row in named if row.generator != named[0].generator), None):
        raise UsageError(
            f"labels {source}: rows {named[0].number} and {other.number} name two generators of "
            f"{_quoted(other.file)}, {_quoted(named[0].generator or '')} and {_quoted(other.generator or '')}; "
            "keep the one that holds"
        )
    return named[0].generator if named else None


def _two_ways(first: LabelRow, second: LabelRow, source: str) -> str:
    return f"{_contradiction(first, second, source)}, both by {_quoted(first.annotator or '')}; keep the one that holds"


def _contradiction(first: LabelRow, second: LabelRow, source: str) -> str:
    differing = next(n for n in range(len(LABELS)) if first.labels[n] != second.labels[n])
    values = f"{LABELS[differing]} {first.labels[differing]} and {second.labels[differing]}"
    return (
        f"labels {source}: rows {first.number} and {second.number} label frame {first.frame_index} of "
        f"{_quoted(first.file)} differently ({values})"
    )


def _join(values: Iterable[str | None]) -> str | None:
    return SEVERAL.join(dict.fromkeys(filter(None, values))) or None


def _quoted(text: str) -> str:
    return f"'{printable(text, 80)}'"
