"""The folder in which a night's sample waits for labels: images, index, sheet, and the labels that came back.

nights/<id>/to-label/frames/                 images of the sample, and of the scored frame before and after each
nights/<id>/to-label/index.parquet           which image shows which frame, as an extraction writes it
nights/<id>/to-label/export/csv/labels.csv   the sheet to fill in: the sample alone, without scores
nights/<id>/to-label/export/                 the same for other tools
nights/<id>/to-label/labels/*.csv, .parquet  labels that were imported from other tools
nights/<id>/to-label/judge/labels.csv        labels by a judge
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.labels_table import JUDGE_PREFIX, LABELLED, labelled_by_judge, read_filled_labels
from artifactscan.annotation.merge_rows import SEVERAL
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable

PEOPLE = "people"
"""Who labelled, where it was not a judge."""

SAMPLE_LABELS = pa.schema(
    [("video_id", pa.string()), ("frame_index", pa.int32()), *((label, pa.int8()) for label in LABELS)]
)
"""One row per labelled frame of a sample."""


@dataclass(frozen=True)
class LabelFolder:
    """The folder to-label/ of a night."""

    root: str

    @property
    def index(self) -> str:
        return storage.join(self.root, "index.parquet")

    @property
    def sheet(self) -> str:
        return storage.join(self.root, "export", "csv", "labels.csv")

    @property
    def imported(self) -> str:
        return storage.join(self.root, "labels")

    @property
    def judge(self) -> str:
        return storage.join(self.root, "judge")

    @property
    def judge_labels(self) -> str:
        return storage.join(self.judge, "labels.csv")

    def tables(self) -> Iterator[str]:
        """The labels tables that are there."""
        for name in sorted(storage.list_names(self.imported)):
            if name.lower().endswith((".csv", ".parquet")):
                yield storage.join(self.imported, name)
        yield from filter(storage.exists, (self.sheet, self.judge_labels))


def labels_by_source(
    sample: pa.Table, folder: LabelFolder, *, human_labels: str | None
) -> tuple[dict[str, pa.Table], list[str]]:
    """Who labelled → SAMPLE_LABELS, people first, and a note for each table that cannot be read or is left out in part.

    ``sample``: LABEL_SAMPLE; labels of other frames are left out. ``human_labels``: one more labels table, by path
    below the corpus as the others. Of several people most decide, each with one vote, whichever tables have their rows;
    where as many say 1 as 0, the frame counts as 1.
    Rows that were merged from labels by people and by a judge are neither's and left out.
    """
    tables, notes = [LABELLED.empty_table()], []
    for uri in [*folder.tables(), *([human_labels] if human_labels else [])]:
        try:
            tables.append(read_filled_labels(uri)[0])
        except UsageError as error:
            notes.append(f"{error}; until then it counts for no estimate")
    rows = _one_row_per_annotator(pa.concat_tables(tables))
    rows = rows.set_column(rows.column_names.index("annotator"), "annotator", pc.fill_null(rows["annotator"], PEOPLE))
    by_judge = labelled_by_judge(rows)
    sources = {PEOPLE: rows.filter(pc.invert(by_judge))}
    for annotator in sorted(pc.unique(rows.filter(by_judge)["annotator"]).to_pylist()):
        of_annotator = rows.filter(pc.equal(rows["annotator"], annotator))
        if all(part.startswith(JUDGE_PREFIX) for part in annotator.split(SEVERAL)):
            sources[annotator] = of_annotator
        else:
            notes.append(
                f"{of_annotator.num_rows:,} rows of labels by {printable(annotator, 80)} are of people and a judge "
                "together and count for no estimate; give the labels of each in rows of their own"
            )
    found = {source: _of_sample(sample, labels) for source, labels in sources.items()}
    return {source: labels for source, labels in found.items() if labels.num_rows}, notes


def _one_row_per_annotator(rows: pa.Table) -> pa.Table:
    """Frames and labels of LABELLED rows, one per frame and named annotator: the mean of theirs."""
    named = rows.filter(pc.is_valid(rows["annotator"]))
    keys = ["file", "frame_index", "annotator"]
    means = named.group_by(keys).aggregate([(label, "mean") for label in LABELS]).rename_columns([*keys, *LABELS])
    columns = means.schema.names
    without_name = rows.filter(pc.is_null(rows["annotator"])).select(columns).cast(means.schema)
    return pa.concat_tables([means, without_name])


def _of_sample(sample: pa.Table, labels: pa.Table) -> pa.Table:
    votes = labels.group_by(["file", "frame_index"]).aggregate([(label, "mean") for label in LABELS])
    frames = sample.select(["video_id", "path", "frame_index"])
    joined = frames.join(votes, ["path", "frame_index"], ["file", "frame_index"], join_type="inner")
    columns = {"video_id": joined["video_id"], "frame_index": joined["frame_index"]}
    columns |= {label: pc.greater_equal(joined[f"{label}_mean"], 0.5).cast(pa.int8()) for label in LABELS}
    return pa.table(columns, schema=SAMPLE_LABELS).sort_by([("video_id", "ascending"), ("frame_index", "ascending")])
