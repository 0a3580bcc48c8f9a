"""Events, verdicts and pages written anew from stored scores: other thresholds or another policy, nothing decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit.figures import Basis, Figures, baseline_nights, figures, gather_night
from artifactscan.audit.groups import load_grouping
from artifactscan.audit.human import beside_flags
from artifactscan.audit.night import Night, Verdict
from artifactscan.audit.policy import Policy, load_policy, parse_policy
from artifactscan.audit.policy import as_record as policy_record
from artifactscan.audit.reporting import assemble, point_to, write_pages
from artifactscan.audit.settings import ReportSettings
from artifactscan.audit.store import AuditStore
from artifactscan.audit.tables import ARRIVALS, CANARIES, PICTURES
from artifactscan.audit.verdict import judge
from artifactscan.errors import LedgerError, UsageError
from artifactscan.events import EventSettings
from artifactscan.labels import LABELS
from artifactscan.lease import Lease
from artifactscan.storage_errors import as_cut_off_errors
from artifactscan.store import RunRecord


@dataclass(frozen=True, kw_only=True)
class Rejudged:
    """What came of a night when it was measured anew."""

    night: Night
    """As it is now."""
    before: Verdict
    flipped: Mapping[str, tuple[list[str], list[str]]]
    """Per label: the paths of the videos that have an event now and had none, and the other way round."""
    page: str | None
    """Where its page lies; None where nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Anew:
    """What was written, or would be."""

    night: Night
    """The chosen one, as it is now."""
    page: str | None
    """Where its page lies; None where nothing was written."""
    rejudged: tuple[Rejudged, ...] = ()
    """The nights that were measured anew, oldest first."""


def rejudge(settings: ReportSettings) -> Anew:
    """Writes what ``settings`` ask for.

    Without other thresholds, events or policy only the page of one night is written, from its tables. Other ones hold
    for all nights of the scorer, as a night is compared with the ones before it, and for those to come.
    """
    store = AuditStore(storage.normalise(settings.store))
    nights = store.nights()
    if not nights:
        raise UsageError(f"--store {settings.store} has no nights; give the folder that jobs/audit.py writes to")
    chosen = _chosen(nights, settings.night)
    if settings.plan:
        return _rejudge(store, nights, chosen, settings)
    storage.check_writable(store.root)
    with Lease(store.lease), as_cut_off_errors():
        return _rejudge(store, nights, chosen, settings)


def _chosen(nights: Sequence[Night], named: str | None) -> Night:
    if named is None:
        return nights[-1]
    for night in nights:
        if night.night == named:
            return night
    raise UsageError(f"--night {named} is none of this store; the latest are {', '.join(n.night for n in nights[-3:])}")


def _rejudge(store: AuditStore, nights: Sequence[Night], chosen: Night, settings: ReportSettings) -> Anew:
    asked = _asked(chosen, settings)
    if asked is None:
        if settings.plan:
            return Anew(night=chosen, page=None)
        return Anew(night=chosen, page=write_pages(store, assemble(store, chosen, nights[: nights.index(chosen)])))
    thresholds, events, policy = asked
    same = [night for night in nights if night.scorer == chosen.scorer]
    records = {run.run: run for run in store.scores.committed()}
    grouping = load_grouping(same[-1].settings["groups"], same[-1].settings["metadata"])
    current = {night.night: night for night in nights}
    arrivals: dict[str, pa.Table] = {}
    rejudged = []
    # The last night comes last: the next audit goes by its thresholds, so one that was cut off changes nothing.
    for night in same:
        basis = Basis(
            store=store,
            corpus=night.corpus,
            spec=night.spec,
            grouping=grouping,
            thresholds=thresholds,
            events=events,
            policy=policy,
            resample_share=night.settings["resample_share"],
        )
        arrivals[night.night], found = gather_night(basis, _runs(night, records))
        baseline = _baseline(night, current, policy)
        measured = _measure(basis, night, found, arrivals, baseline)
        canaries = store.table(night, "canaries", CANARIES)
        verdict = judge(
            policy=policy, cells=measured.cells, arrivals=measured.arrivals, canaries=canaries, baseline=baseline
        )
        flipped = _flips(store.table(night, "arrivals", ARRIVALS), measured.arrivals)
        fresh = replace(
            night,
            thresholds=thresholds,
            events=asdict(events),
            policy=policy_record(policy),
            baseline=tuple(baseline),
            verdict=verdict,
        )
        page = None
        if not settings.plan:
            drawn = store.table(night, "pictures", PICTURES)
            tables = {**measured.by_name(), "canaries": canaries, "pictures": drawn}
            fresh = replace(fresh, tables=store.write_tables(night.night, tables))
            page = write_pages(store, assemble(store, fresh, [n for n in current.values() if n.night < night.night]))
            store.commit(fresh)
        current[night.night] = fresh
        rejudged.append(Rejudged(night=fresh, before=night.verdict, flipped=flipped, page=page))
    if not settings.plan:
        point_to(store, current[nights[-1].night])
    [mine] = [one for one in rejudged if one.night.night == chosen.night]
    return Anew(night=mine.night, page=mine.page, rejudged=tuple(rejudged))


def _baseline(night: Night, current: Mapping[str, Night], policy: Policy) -> list[str]:
    """The nights to compare a night with, now that those before it may have another verdict."""
    if night.settings["accept_corpus"]:
        return []
    earlier = [one for one in current.values() if one.night < night.night]
    return [one.night for one in baseline_nights(earlier, policy, night.scorer, night.settings["baseline"])]


def _measure(
    basis: Basis, night: Night, events: pa.Table, arrivals: Mapping[str, pa.Table], baseline: Sequence[str]
) -> Figures:
    """Figures of a night against its baseline; ``arrivals`` has it and the nights of its scorer before it."""
    if labels := night.settings["human_labels"]:
        known = pa.concat_tables(list(arrivals.values())).select(["video_id", "uri"])
        scores = basis.store.scores
        labelled = beside_flags(
            labels, known, scores, night.spec_digest, corpus=night.corpus, thresholds=basis.thresholds
        )
        basis = replace(basis, labelled=labelled)
    return figures(basis, night.night, arrivals[night.night], events, {name: arrivals[name] for name in baseline})


def _asked(chosen: Night, settings: ReportSettings) -> tuple[dict[str, float], EventSettings, Policy] | None:
    """Thresholds, event settings and policy to go by; None where they are those that the night has."""
    thresholds = chosen.thresholds | _thresholds(settings.thresholds)
    names = ("release_ratio", "max_gap_frames", "min_frames")
    changes = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    events = replace(EventSettings(**chosen.events), **changes)
    before = parse_policy(chosen.policy, f"night {chosen.night}")
    policy = load_policy(settings.policy) if settings.policy else before
    if thresholds == chosen.thresholds and asdict(events) == chosen.events and policy == before:
        return None
    return thresholds, events, policy


def _thresholds(texts: Sequence[str]) -> dict[str, float]:
    thresholds = {}
    for text in " ".join(texts).replace(",", " ").split():
        label, equals, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not equals or label not in LABELS or not 0 <= value <= 1:
            raise UsageError(
                f"--thresholds {text!r} is not a label and a number from 0 to 1; write e.g. motion=0.6, with "
                f"{', '.join(LABELS)}"
            )
        thresholds[label] = value
    return thresholds


def _runs(night: Night, records: Mapping[str, RunRecord]) -> list[RunRecord]:
    missing = [run for run in night.runs if run not in records]
    if missing:
        raise LedgerError(
            f"night {night.night} counts run {missing[0]}, which scores/ does not have any more; restore scores/runs, "
            "or remove the night's folder"
        )
    return [records[run] for run in night.runs]


def _flips(before: pa.Table, after: pa.Table) -> dict[str, tuple[list[str], list[str]]]:
    flips = {}
    for label in LABELS:
        had = set(_flagged(before, label))
        has = set(_flagged(after, label))
        flips[label] = (sorted(has - had), sorted(had - has))
    return flips


def _flagged(arrivals: pa.Table, label: str) -> list[str]:
    return arrivals.filter(pc.greater(arrivals[f"events_{label}"], 0))["path"].to_pylist()
