"""The estimates of a night: from the labels that its sample and those of the nights before have by now."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.label_folder import PEOPLE, SAMPLE_LABELS, labels_by_source
from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ARRIVALS, ESTIMATES, RECENT, TONIGHT
from artifactscan.audit.statistics.label_estimates import LabelledNight, estimate_labels
from artifactscan.labels import LABELS
from artifactscan.schemas import VIDEOS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import read_table
from artifactscan.store.layout import Store

_MEANS = ("video_id", *(f"mean_{label}" for label in LABELS))


@dataclass(frozen=True, kw_only=True, eq=False)
class NightEstimates:
    """What is known of a night from labels."""

    table: pa.Table
    """ESTIMATES; empty where neither this night nor an earlier one has a sample."""
    notes: tuple[str, ...] = ()
    """Tables of labels that could not be read, one sentence each."""

    @classmethod
    def none(cls) -> "NightEstimates":
        return cls(table=ESTIMATES.empty_table())


def night_estimates(store: AuditStore, night: Night, earlier: Sequence[Night], *, most_nights: int) -> NightEstimates:
    """Estimates of tonight's arrivals, and of those of the last nights of the same scorer that have labels.

    ``earlier``: the nights before, oldest first; at most ``most_nights`` count, tonight among them. People's labels are
    used, or those of a judge where people have labelled too few clips.
    """
    same = [one for one in (*earlier, night) if one.scorer == night.scorer][-most_nights:]
    labelled: list[tuple[Night, pa.Table, dict[str, pa.Table]]] = []
    notes: list[str] = []
    human_labels = night.settings.get("human_labels")
    for one in same:
        if (sample := store.label_sample(one)).num_rows:
            sources, unread = labels_by_source(sample, store.label_folder(one.night), human_labels=human_labels)
            notes += unread
            labelled.append((one, sample, sources))
    of_tonight = [row for row in labelled if row[0].night == night.night]
    tables = [_of_scope(store, nights, scope, night) for scope, nights in ((TONIGHT, of_tonight), (RECENT, labelled))]
    return NightEstimates(table=pa.concat_tables(tables), notes=tuple(dict.fromkeys(notes)))


def _of_scope(
    store: AuditStore, nights: Sequence[tuple[Night, pa.Table, dict[str, pa.Table]]], scope: str, tonight: Night
) -> pa.Table:
    """ESTIMATES by the first source whose labels are enough for one, else by the first there is.

    RECENT has none where tonight's labels are all there are.
    """
    first: pa.Table | None = None
    for source in dict.fromkeys((PEOPLE, *(source for _, _, sources in nights for source in sources))):
        used = [row for row in nights if source in row[2] or scope == TONIGHT]
        if not used or (scope == RECENT and [row[0] for row in used] == [tonight]):
            continue
        table = estimate_labels(
            [
                LabelledNight(
                    arrivals=store.table(night, "arrivals", ARRIVALS),
                    means=_mean_scores(store.scores, night),
                    sample=sample,
                    labels=sources.get(source, SAMPLE_LABELS.empty_table()),
                )
                for night, sample, sources in used
            ],
            scope=scope,
            labelled_by=source,
        )
        if table["estimate"].null_count < table.num_rows:
            return table
        first = table if first is None else first
    return ESTIMATES.empty_table() if first is None else first


def _mean_scores(store: Store, night: Night) -> pa.Table:
    """``video_id`` and the mean score of each label, of the night's arrivals."""
    files = [file for run in night.runs for file in store.ledger_files(run)]
    empty = pa.schema([VIDEOS.field(name) for name in _MEANS]).empty_table()
    rows = pa.concat_tables([empty, *map_in_order(lambda file: read_table(file, list(_MEANS)), files)])
    return rows.filter(pc.is_valid(rows[_MEANS[1]]))  # without those that had no score yet in the first of two runs
