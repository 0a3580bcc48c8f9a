"""Judges nights again from stored scores: other thresholds, event settings or policy, without decoding anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit import canaries
from artifactscan.audit.arrivals import gather_arrivals, regroup
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.baseline import baseline_nights, worse_runs
from artifactscan.audit.human_labels import labels_with_flags
from artifactscan.audit.measure_night import MeasureSettings, NightTables, measure_night
from artifactscan.audit.night import Night, Verdict
from artifactscan.audit.night_tables import ARRIVALS, PICTURES
from artifactscan.audit.policy import Policy, load_policy, parse_policy
from artifactscan.audit.policy import as_record as policy_record
from artifactscan.audit.settings import ReportSettings
from artifactscan.audit.verdict import judge_night, remarks
from artifactscan.audit.video_groups import drop_high_cardinality, load_grouping
from artifactscan.audit.write_pages import write_latest, write_pages
from artifactscan.errors import LedgerError, UsageError
from artifactscan.labels import LABELS
from artifactscan.scoring.events import EventSettings
from artifactscan.storage.lease import Lease
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord


@dataclass(frozen=True, kw_only=True)
class RejudgedNight:
    """A night that was measured and judged again."""

    night: Night
    """As it is now."""
    before: Verdict
    flipped: Mapping[str, tuple[list[str], list[str]]]
    """Label → paths of the videos that gained their first event, and of those that lost their last."""
    page: str | None
    """URI of its page; None where nothing was written."""


@dataclass(frozen=True, kw_only=True)
class RejudgeResult:
    """What was written, or with ``plan`` would be."""

    night: Night
    """The chosen one, as it is now."""
    page: str | None
    """URI of its page; None where nothing was written."""
    rejudged: tuple[RejudgedNight, ...] = ()
    """The nights that were judged again, oldest first."""


def rejudge(settings: ReportSettings) -> RejudgeResult:
    """Judges the nights of a scorer again and writes their tables and pages.

    Without other thresholds, events or policy only the page of one night is written, from its tables. Otherwise all
    nights of the scorer are judged again, as a night is compared with those before it; a setting that is not given
    stays as it was in each night.
    """
    store = AuditStore(storage.normalise(settings.store))
    nights, chosen = _read_nights(store, settings)
    if settings.plan:
        return _rejudge(store, nights, chosen, settings, lambda: None)
    storage.check_store_writable(store.root, "the same command does it again")
    with Lease(store.lease) as lease, as_cut_off_errors():
        nights, chosen = _read_nights(store, settings)  # another job may have changed them since
        return _rejudge(store, nights, chosen, settings, lease.check)


def _read_nights(store: AuditStore, settings: ReportSettings) -> tuple[list[Night], Night]:
    """All nights, and the one that is asked for."""
    nights = store.nights()
    if not nights and Store(store.root).run_ids():
        raise UsageError(
            f"--store {settings.store} is a scoring store, without nights; give the folder that `artifactscan audit` "
            "writes to"
        )
    if not nights:
        raise UsageError(f"--store {settings.store} has no nights; give the folder that `artifactscan audit` writes to")
    return nights, _chosen(nights, settings.night)


def _chosen(nights: Sequence[Night], named: str | None) -> Night:
    if named is None:
        return nights[-1]
    for night in nights:
        if night.night == named:
            return night
    raise UsageError(f"--night {named} is none of this store; the latest are {', '.join(n.night for n in nights[-3:])}")


@dataclass(frozen=True, kw_only=True)
class _Criteria:
    """How a night is measured and judged."""

    thresholds: Mapping[str, float]
    events: EventSettings
    policy: Policy


def _rejudge(
    store: AuditStore, nights: Sequence[Night], chosen: Night, settings: ReportSettings, check: Callable[[], None]
) -> RejudgeResult:
    same = [night for night in nights if night.scorer == chosen.scorer]
    criteria = {night.night: _criteria(night, settings) for night in same}
    if not settings.anew and all(criteria[night.night] == _criteria_before(night) for night in same):
        page = None if settings.plan else write_pages(store, chosen, nights[: nights.index(chosen)]).page
        return RejudgeResult(night=chosen, page=page)
    records = {run.run: run for run in store.scores.committed()}
    current = {night.night: night for night in nights}
    arrivals: dict[str, pa.Table] = {}
    rejudged = []
    # Oldest first: the next audit takes the last night's thresholds, so they change only when all others have.
    for night in same:
        canary_table = canaries.compare_night(store, night.night, night.scorer)
        tables = _measure(store, night, criteria[night.night], records, current, arrivals)
        fresh = _judge(night, criteria[night.night], current, tables, canary_table)
        flipped, page = _flips(_table_or_none(store, night, "arrivals", ARRIVALS), tables.arrivals), None
        if not settings.plan:
            check()
            pictures = _table_or_none(store, night, "pictures", PICTURES)  # only an audit can draw them
            extra = {
                "canaries": canary_table,
                "pictures": PICTURES.empty_table() if pictures is None else pictures,
                "label_sample": store.label_sample(night),
            }
            fresh = replace(fresh, tables=store.write_tables(night.night, {**tables.by_name(), **extra}))
            page = write_pages(store, fresh, _before(night, current)).page
            store.commit(fresh)
        current[night.night] = fresh
        rejudged.append(RejudgedNight(night=fresh, before=night.verdict, flipped=flipped, page=page))
    if not settings.plan:
        write_latest(store, current[nights[-1].night])
    [mine] = [one for one in rejudged if one.night.night == chosen.night]
    return RejudgeResult(night=mine.night, page=mine.page, rejudged=tuple(rejudged))


def _criteria_before(night: Night) -> _Criteria:
    return _Criteria(
        thresholds=night.thresholds,
        events=EventSettings(**night.events),
        policy=parse_policy(night.policy, f"night {night.night}"),
    )


def _criteria(night: Night, settings: ReportSettings) -> _Criteria:
    """The night's own criteria, with the changes that ``settings`` ask for."""
    before = _criteria_before(night)
    names = ("release_ratio", "max_gap_frames", "min_frames")
    changes = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return _Criteria(
        thresholds={**before.thresholds, **_thresholds(settings.thresholds)},
        events=replace(before.events, **changes),
        policy=load_policy(settings.policy) if settings.policy else before.policy,
    )


def _measure(
    store: AuditStore,
    night: Night,
    by: _Criteria,
    records: Mapping[str, RunRecord],
    current: Mapping[str, Night],
    arrivals: dict[str, pa.Table],
) -> NightTables:
    """The night's tables by these criteria.

    ``arrivals``: night → ARRIVALS of its scorer's earlier nights; the night's own are added.
    """
    grouping = load_grouping(night.settings["groups"], night.settings["metadata"])
    found, events = gather_arrivals(
        store.scores,
        _runs(night, records),
        corpus=night.corpus,
        grouping=grouping,
        thresholds=by.thresholds,
        sample_fps=night.spec["sample_fps"],
        events=by.events,
    )
    grouping, _ = drop_high_cardinality(grouping, found)
    arrivals[night.night] = regroup(found, grouping)
    labelled = None
    if labels := night.settings["human_labels"]:
        known = pa.concat_tables(list(arrivals.values())).select(["video_id", "uri"])
        labelled = labels_with_flags(
            labels, known, store.scores, night.spec_digest, corpus=night.corpus, thresholds=by.thresholds
        )
    settings = MeasureSettings(
        store=store,
        spec=night.spec,
        thresholds=by.thresholds,
        events=by.events,
        policy=by.policy,
        resample_share=night.settings["resample_share"],
        labelled=labelled,
    )
    baseline = {name: regroup(arrivals[name], grouping) for name in _baseline(night, current, by.policy)}
    runs = [{name: regroup(arrivals[name], grouping) for name in run} for run in _worse_runs(night, current, by.policy)]
    return measure_night(settings, night.night, arrivals[night.night], events, baseline, runs)


def _judge(
    night: Night, by: _Criteria, current: Mapping[str, Night], tables: NightTables, canary_table: pa.Table
) -> Night:
    """The night's record with its verdict by these criteria."""
    baseline = _baseline(night, current, by.policy)
    return replace(
        night,
        thresholds=dict(by.thresholds),
        events=asdict(by.events),
        policy=policy_record(by.policy),
        baseline=tuple(baseline),
        verdict=judge_night(
            policy=by.policy,
            cells=tables.cells,
            arrivals=tables.arrivals,
            canaries=canary_table,
            baseline=baseline,
            unproven=night.unproven,
        ),
        remarks=remarks(policy=by.policy, cells=tables.cells, baseline=baseline, unproven=night.unproven),
        standing_rates=night.standing_rates if by.thresholds == night.thresholds else {},
    )


def _baseline(night: Night, current: Mapping[str, Night], policy: Policy) -> list[str]:
    """The nights to compare with, by the new verdicts of those before it."""
    if night.settings["accept_corpus"]:
        return []
    earlier = _before(night, current)
    return [one.night for one in baseline_nights(earlier, policy, night.scorer, night.settings["baseline"])]


def _worse_runs(night: Night, current: Mapping[str, Night], policy: Policy) -> list[list[str]]:
    """The runs of worse nights before it, by their new verdicts."""
    if night.settings["accept_corpus"]:
        return []
    runs = worse_runs(_before(night, current), policy, night.scorer, night.settings["baseline"])
    return [[one.night for one in run] for run in runs]


def _before(night: Night, current: Mapping[str, Night]) -> list[Night]:
    return [one for one in current.values() if one.night < night.night]


def _table_or_none(store: AuditStore, night: Night, name: str, schema: pa.Schema) -> pa.Table | None:
    """A table as it was; None where it is damaged, which rewriting it mends."""
    try:
        return store.table(night, name, schema)
    except UsageError:
        return None


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
        had, has = _flagged(before, label), _flagged(after, label)
        flips[label] = (sorted(has - had), sorted(had - has))
    return flips


def _flagged(arrivals: pa.Table, label: str) -> set[str]:
    return set(arrivals.filter(pc.greater(arrivals[f"events_{label}"], 0))["path"].to_pylist())
