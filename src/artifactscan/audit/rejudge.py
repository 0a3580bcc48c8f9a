"""Events, verdicts and pages written anew from stored scores: other thresholds or another policy, nothing decoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit import canaries
from artifactscan.audit.arrivals import regroup
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.measure import Basis, Figures, baseline_nights, figures, gather_night
from artifactscan.audit.video_groups import load_grouping, without_splinters
from artifactscan.audit.human_labels import beside_flags
from artifactscan.audit.night import Night, Verdict
from artifactscan.audit.policy import Policy, load_policy, parse_policy
from artifactscan.audit.policy import as_record as policy_record
from artifactscan.audit.write_pages import assemble, point_to, write_pages
from artifactscan.audit.night_tables import ARRIVALS, PICTURES
from artifactscan.audit.settings import ReportSettings
from artifactscan.audit.verdict import judge, remarks
from artifactscan.errors import LedgerError, UsageError
from artifactscan.labels import LABELS
from artifactscan.scoring.events import EventSettings
from artifactscan.storage.failures import as_cut_off_errors
from artifactscan.storage.lease import Lease
from artifactscan.store.layout import RunRecord


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
    for all nights of the scorer, as a night is compared with the ones before it, and for those to come; each keeps what
    is not asked to be another.
    """
    store = AuditStore(storage.normalise(settings.store))
    nights = store.nights()
    if not nights:
        raise UsageError(f"--store {settings.store} has no nights; give the folder that jobs/audit.py writes to")
    chosen = _chosen(nights, settings.night)
    if settings.plan:
        return _rejudge(store, nights, chosen, settings, lambda: None)
    storage.check_writable(store.root)
    with Lease(store.lease) as lease, as_cut_off_errors():
        return _rejudge(store, nights, chosen, settings, lease.check)


def _chosen(nights: Sequence[Night], named: str | None) -> Night:
    if named is None:
        return nights[-1]
    for night in nights:
        if night.night == named:
            return night
    raise UsageError(f"--night {named} is none of this store; the latest are {', '.join(n.night for n in nights[-3:])}")


def _rejudge(
    store: AuditStore, nights: Sequence[Night], chosen: Night, settings: ReportSettings, check: Callable[[], None]
) -> Anew:
    same = [night for night in nights if night.scorer == chosen.scorer]
    asked = {night.night: _asked(night, settings) for night in same}
    if not settings.anew and all(asked[night.night] == _as_judged(night) for night in same):
        if settings.plan:
            return Anew(night=chosen, page=None)
        return Anew(night=chosen, page=write_pages(store, assemble(store, chosen, nights[: nights.index(chosen)])))
    records = {run.run: run for run in store.scores.committed()}
    current = {night.night: night for night in nights}
    arrivals: dict[str, pa.Table] = {}
    rejudged = []
    # The last night comes last: the next audit goes by its thresholds, so one that was cut off changes nothing.
    for night in same:
        watched = canaries.of_night(store, night.night, night.scorer)
        fresh, measured = _judge(store, night, asked[night.night], records, current, arrivals, watched)
        flipped, page = _flips(_before(store, night), measured.arrivals), None
        if not settings.plan:
            check()
            tables = {
                **measured.by_name(),
                "canaries": watched,
                "pictures": _pictures(store, night),
            }
            fresh = replace(fresh, tables=store.write_tables(night.night, tables))
            page = write_pages(store, assemble(store, fresh, [n for n in current.values() if n.night < night.night]))
            store.commit(fresh)
        current[night.night] = fresh
        rejudged.append(Rejudged(night=fresh, before=night.verdict, flipped=flipped, page=page))
    if not settings.plan:
        point_to(store, current[nights[-1].night])
    [mine] = [one for one in rejudged if one.night.night == chosen.night]
    return Anew(night=mine.night, page=mine.page, rejudged=tuple(rejudged))


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """By what a night is measured and judged."""

    thresholds: Mapping[str, float]
    events: EventSettings
    policy: Policy


def _as_judged(night: Night) -> _Measure:
    return _Measure(
        thresholds=night.thresholds,
        events=EventSettings(**night.events),
        policy=parse_policy(night.policy, f"night {night.night}"),
    )


def _asked(night: Night, settings: ReportSettings) -> _Measure:
    """What the night is to be measured by: its own, but for what is asked to be another."""
    before = _as_judged(night)
    names = ("release_ratio", "max_gap_frames", "min_frames")
    changes = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return _Measure(
        thresholds={**before.thresholds, **_thresholds(settings.thresholds)},
        events=replace(before.events, **changes),
        policy=load_policy(settings.policy) if settings.policy else before.policy,
    )


def _judge(
    store: AuditStore,
    night: Night,
    by: _Measure,
    records: Mapping[str, RunRecord],
    current: Mapping[str, Night],
    arrivals: dict[str, pa.Table],
    watched: pa.Table,
) -> tuple[Night, Figures]:
    """The night by other measures; ``arrivals`` has those of its scorer's nights before it, and is given its own.

    ``watched``: its CANARIES.
    """
    basis = Basis(
        store=store,
        corpus=night.corpus,
        spec=night.spec,
        grouping=load_grouping(night.settings["groups"], night.settings["metadata"]),
        thresholds=by.thresholds,
        events=by.events,
        policy=by.policy,
        resample_share=night.settings["resample_share"],
    )
    found, events = gather_night(basis, _runs(night, records))
    grouping, _ = without_splinters(basis.grouping, found["uri"].combine_chunks(), found["path"].combine_chunks())
    arrivals[night.night] = regroup(found, grouping)
    if labels := night.settings["human_labels"]:
        known = pa.concat_tables(list(arrivals.values())).select(["video_id", "uri"])
        labelled = beside_flags(
            labels, known, store.scores, night.spec_digest, corpus=night.corpus, thresholds=by.thresholds
        )
        basis = replace(basis, labelled=labelled)
    names = _baseline(night, current, by.policy)
    baseline = {name: regroup(arrivals[name], grouping) for name in names}
    measured = figures(basis, night.night, arrivals[night.night], events, baseline)
    verdict = judge(
        policy=by.policy,
        cells=measured.cells,
        arrivals=measured.arrivals,
        canaries=watched,
        baseline=names,
    )
    said = remarks(policy=by.policy, cells=measured.cells, baseline=names) if measured.arrivals.num_rows else ()
    fresh = replace(
        night,
        thresholds=dict(by.thresholds),
        events=asdict(by.events),
        policy=policy_record(by.policy),
        baseline=tuple(names),
        verdict=verdict,
        remarks=said,
        standing_rates=night.standing_rates if by.thresholds == night.thresholds else {},
    )
    return fresh, measured


def _baseline(night: Night, current: Mapping[str, Night], policy: Policy) -> list[str]:
    """The nights to compare a night with, now that those before it may have another verdict."""
    if night.settings["accept_corpus"]:
        return []
    earlier = [one for one in current.values() if one.night < night.night]
    return [one.night for one in baseline_nights(earlier, policy, night.scorer, night.settings["baseline"])]


def _before(store: AuditStore, night: Night) -> pa.Table | None:
    """The night's arrivals as they were; None where they are damaged, which writing them anew is to mend."""
    try:
        return store.table(night, "arrivals", ARRIVALS)
    except UsageError:
        return None


def _pictures(store: AuditStore, night: Night) -> pa.Table:
    """The night's pictures, which only an audit can draw; none where they are damaged."""
    try:
        return store.table(night, "pictures", PICTURES)
    except UsageError:
        return PICTURES.empty_table()


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


def _flips(before: pa.Table | None, after: pa.Table) -> dict[str, tuple[list[str], list[str]]]:
    flips = {}
    for label in LABELS if before is not None else ():
        had = set(_flagged(before, label))
        has = set(_flagged(after, label))
        flips[label] = (sorted(has - had), sorted(had - has))
    return flips


def _flagged(arrivals: pa.Table, label: str) -> list[str]:
    return arrivals.filter(pc.greater(arrivals[f"events_{label}"], 0))["path"].to_pylist()
