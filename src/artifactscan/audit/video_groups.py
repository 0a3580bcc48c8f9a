"""Groups of videos, such as generator=sora: from their path below the corpus or from a metadata table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit.night_tables import ALL
from artifactscan.corpus.path_pattern import check_pattern, match_paths, pattern_names
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable
from artifactscan.storage import storage_errors
from artifactscan.storage.csv_text import CsvTextError, read_text_cells
from artifactscan.storage.parquet import open_plain

MAX_VALUES = 200
"""Most values of one kind of group."""
NO_GROUP = "none"
"""The value where neither path nor table gives one."""
_GROUPS = pa.list_(pa.string())


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How videos are put into groups."""

    pattern: str | None = None
    """Like {generator}/{version}: folders below the corpus; anything may follow."""
    metadata: pa.Table | None = None
    """A column ``uri``, with uris or paths below the corpus, and one string column per kind of group."""
    left_out: frozenset[str] = frozenset()
    """Kinds of group that are not used."""

    def names(self) -> tuple[str, ...]:
        """The kinds of group, those of the pattern first."""
        named = pattern_names(self.pattern) if self.pattern else ()
        if self.metadata is not None:
            named += tuple(name for name in self.metadata.column_names if name != "uri")
        return named

    def assign(self, uris: pa.Array, paths: pa.Array) -> pa.Array:
        """list<string> per video: one ``kind=value`` per kind of group, ``kind=none`` where there is no value."""
        values: dict[str, pa.Array] = {}
        if self.pattern:
            values |= match_paths(self.pattern, paths)
        if self.metadata is not None:
            known = self.metadata["uri"].combine_chunks()
            row = pc.coalesce(pc.index_in(uris, value_set=known), pc.index_in(paths, value_set=known))
            values |= {name: self.metadata[name].take(row) for name in self.metadata.column_names if name != "uri"}
        columns = [
            pc.binary_join_element_wise(name, pc.fill_null(value, NO_GROUP), "=")
            for name, value in values.items()
            if name not in self.left_out
        ]
        if not columns:
            return pa.array([[]] * len(uris), _GROUPS)
        width = len(columns)
        flat = pa.chunked_array([chunk for column in columns for chunk in _chunks(column)], pa.string())
        order = pa.array([column * len(uris) + row for row in range(len(uris)) for column in range(width)], pa.int64())
        offsets = pa.array(range(0, width * len(uris) + 1, width), pa.int32())
        return pa.ListArray.from_arrays(offsets, flat.combine_chunks().take(order), type=_GROUPS)

    def count_ungrouped(self, uris: pa.Array, paths: pa.Array) -> int:
        """How many videos neither the pattern nor the table puts into any group."""
        nothing = [f"{name}={NO_GROUP}" for name in self.names()]
        return sum(groups == nothing for groups in self.assign(uris, paths).to_pylist()) if nothing else 0


def load_grouping(pattern: str | None, metadata: str | None) -> Grouping:
    """Reads and checks --groups and --metadata; UsageError for what cannot be used."""
    if pattern is not None:
        check_pattern(pattern, "--groups")
    grouping = Grouping(pattern=pattern, metadata=_read_metadata(metadata) if metadata else None)
    names = grouping.names()
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--groups and --metadata both name {', '.join(repeated)}; rename one of them")
    if ALL in names:
        raise UsageError(f"a group cannot be called {ALL}; rename it in --groups or --metadata")
    return grouping


def check_matches(grouping: Grouping, corpus: str, listing: Iterable[pa.RecordBatch]) -> None:
    """UsageError where no video of a listing is in any group; reads the listing up to the first one that is."""
    if not grouping.names():
        return
    seen, example = 0, ""
    for batch in listing:
        paths = pa.array(paths_below(corpus, batch["uri"].to_pylist()), pa.string())
        if grouping.count_ungrouped(batch["uri"], paths) < batch.num_rows:
            return
        seen, example = seen + batch.num_rows, example or paths[0].as_py()
    asked = f"--groups {grouping.pattern}" if grouping.pattern else "--metadata"
    raise UsageError(
        f"{asked} matches none of the {seen:,} videos, such as {printable(example)}; the pattern stands for folders "
        "below the corpus, the table's uri for whole uris or paths below it"
    )


def ungrouped_note(grouping: Grouping, arrivals: pa.Table) -> str | None:
    """A note where some of these videos are in no group."""
    count = grouping.count_ungrouped(arrivals["uri"].combine_chunks(), arrivals["path"].combine_chunks())
    return f"{count:,} of {arrivals.num_rows:,} videos are in no group" if count else None


def drop_high_cardinality(grouping: Grouping, arrivals: pa.Table) -> tuple[Grouping, list[str]]:
    """The grouping without kinds that have more than MAX_VALUES groups among these videos, and a note for each.

    Such groups have hardly two videos each, and so many tests would hide every real rise.
    """
    groups = grouping.assign(arrivals["uri"].combine_chunks(), arrivals["path"].combine_chunks())
    counts = Counter(value.partition("=")[0] for value in pc.unique(pc.list_flatten(groups)).to_pylist())
    many = {name: count for name, count in counts.items() if count > MAX_VALUES}
    notes = [
        f"{name} has {count:,} groups tonight, more than {MAX_VALUES}, and is left out: nothing is compared by it"
        for name, count in many.items()
    ]
    return replace(grouping, left_out=frozenset(many)), notes


def paths_below(corpus: str, uris: Sequence[str]) -> list[str]:
    """The part of each uri below the corpus; a uri elsewhere, as a manifest may have, stays whole."""
    root = storage.normalise(corpus).rstrip("/") + "/"
    return [uri.removeprefix(root) for uri in uris]


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _read_csv(data: bytes) -> pa.Table:
    """All columns as text, so that versions 1.1 and 1.10 stay different; empty cells are null."""
    table = read_text_cells(data, needed=["uri"])
    return pa.table([pc.if_else(pc.equal(column, ""), None, column) for column in table.columns], table.column_names)


def _read_metadata(uri: str) -> pa.Table:
    try:
        files, path = storage.filesystem(uri)
        with files.open_input_file(path) as file:
            table = _read_csv(file.read()) if uri.lower().endswith(".csv") else open_plain(file).read()
    except (pa.ArrowInvalid, CsvTextError, OSError) as error:
        words = storage_errors.describe(error, uri) if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(
            f"--metadata {uri} cannot be read: {words}; give a .csv or .parquet with a column uri"
        ) from None
    if "uri" not in table.column_names or len(table.column_names) < 2:
        raise UsageError(
            f"--metadata {uri} has the columns {', '.join(table.column_names)}; it needs `uri` and at least one more"
        )
    if table.num_rows > pc.count_distinct(table["uri"]).as_py():
        twice = table["uri"].value_counts().to_pylist()
        name = next(entry["values"] for entry in twice if entry["counts"] > 1)
        raise UsageError(f"--metadata {uri} names {printable(str(name))} twice; keep one row per video")
    try:
        return pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"--metadata {uri} has a column that is no text or number: {error}; leave it out") from None
