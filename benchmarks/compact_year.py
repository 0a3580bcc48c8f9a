"""Measures a year of nights in few files: compacted, and in the tables to which each night was exported.

    python benchmarks/compact_year.py                 # 365 nights of 2,000 frames

Each night finds 100 new clips of 20 frames, in parts of 16 clips, and lists those of the nights before. It is settled
and committed by the scoring job's own code, without Ray and without video, and then exported to Delta Lake and Iceberg.
"""

import os
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable
from pyiceberg.catalog.sql import SqlCatalog
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from artifactscan.export.settings import ExportSettings  # noqa: E402
from artifactscan.export.tables.stored_run import EXPORTED  # noqa: E402
from artifactscan.export.tables.write_tables import write_tables  # noqa: E402
from artifactscan.export.target_place import CATALOG_NAME  # noqa: E402
from artifactscan.labels import LABELS, SCORE_COLUMNS  # noqa: E402
from artifactscan.schemas import MANIFEST, PARTS  # noqa: E402
from artifactscan.scoring.complete_attempts import read_complete_attempts  # noqa: E402
from artifactscan.scoring.settle import ScoredBy, settle  # noqa: E402
from artifactscan.storage.parquet import write_table  # noqa: E402
from artifactscan.store.layout import Store  # noqa: E402
from benchmarks.export_tables import CHECKPOINT, FRAMES_PER_CLIP, SPEC, a_record, clip_names, run_job  # noqa: E402

CLIPS_PER_PART = 16
SCORED_BY = ScoredBy(spec=SPEC, checkpoint=CHECKPOINT, thresholds=dict.fromkeys(LABELS, 0.5), sample_fps=2.0)
LAKES = ("delta", "iceberg")
TURNS = 5
"""Of reading; the median is shown."""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--frames", type=int, default=2_000, help="of each night")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(str(Path(folder, "store")))
        began = time.monotonic()
        seconds: dict[str, list[float]] = {to: [] for to in LAKES}
        for _ in write_nights(store, options.nights, options.frames // FRAMES_PER_CLIP):
            for to in LAKES:
                seconds[to].append(timed(lambda to=to: export_here(store, to, Path(folder, to))))
        print(f"{options.nights} nights settled and exported in {time.monotonic() - began:.0f} s")
        for to in LAKES:
            measure_lake(to, Path(folder, to), seconds[to])
        measure_store(store, "before")
        for turn in ("compact", "compact again"):
            measured = run_job("compact", store.root, "--quiet")
            print(f"{turn:16} {measured.seconds:6.1f} s  {measured.peak_mb:5.0f} MB  {measured.said}")
        measure_store(store, "after")
        measured = run_job("export", store.root, "--to", "duckdb", "--output", f"{folder}/year.duckdb")
        size_mb = Path(folder, "year.duckdb").stat().st_size / 1e6
        print(f"{'--to duckdb':16} {measured.seconds:6.1f} s  {measured.peak_mb:5.0f} MB  1 file of {size_mb:.0f} MB")


def write_nights(store: Store, nights: int, clips: int) -> Iterator[str]:
    """Settles and commits ``nights`` runs, each with ``clips`` new clips, and the clips of the nights before; yields
    each when it is committed."""
    generator, known = np.random.default_rng(1), MANIFEST.empty_table()
    for number in range(nights):
        day = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        run = f"{day:%Y%m%d}T030000Z-{number:08x}"
        new = draw_manifest(clip_names(number, 0, clips), status="new")
        write_table(pa.concat_tables([known, new]), store.manifest(run))
        for start in range(0, clips, CLIPS_PER_PART):
            part = draw_part(new.slice(start, CLIPS_PER_PART), generator)
            write_table(part, f"{store.parts(run)}/{generator.bytes(16).hex()}.parquet")
        totals = settle(store, run, read_complete_attempts(store, run), SCORED_BY)
        counts = {"frames": totals.frames, "listed": totals.listed, "events": totals.events}
        moment = day.isoformat()
        store.commit(replace(a_record(run, counts), outcomes=totals.outcomes, started=moment, finished=moment))
        settled = draw_manifest(new["uri"].to_pylist(), status="settled", settled_run=run, settled_outcome="scored")
        known = pa.concat_tables([known, settled])
        yield run


def export_here(store: Store, to: str, output: Path) -> None:
    """`artifactscan export` in this process, which has loaded the libraries."""
    settings = ExportSettings(store=store.root, to=to, output=str(output))  # type: ignore[arg-type]
    with Path(os.devnull).open("w") as nowhere:
        write_tables(settings, Console(file=nowhere))


def measure_lake(to: str, output: Path, seconds: list[float]) -> None:
    """Prints the files that a reader of the tables opens, and the seconds that exporting a night took."""
    files = {table: count_lake_files(to, output, table) for table in EXPORTED}
    kinds = ", ".join(f"{count} {table}" for table, count in files.items())
    print(f"--to {to:11} {sum(files.values())} files: {kinds}")
    print(f"{'a night':>16} {median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def count_lake_files(to: str, output: Path, table: str) -> int:
    if to == "delta":
        return len(DeltaTable(output / table).file_uris())
    catalog = SqlCatalog("default", uri=f"sqlite:///{output}/{CATALOG_NAME}")
    return len(list(catalog.load_table(("artifactscan", table)).scan().plan_files()))


def draw_manifest(uris: list[str], **values: str) -> pa.Table:
    """MANIFEST rows of clips, with ``values`` in each."""
    same = {"size_bytes": 1_000_000, "etag": "0" * 32, "modified": datetime(2026, 1, 1, tzinfo=UTC), **values}
    columns = {"video_id": pa.array([f"{hash(uri) & (2**64 - 1):032x}" for uri in uris]), "uri": pa.array(uris)}
    columns |= {
        field.name: pa.repeat(pa.scalar(same.get(field.name), field.type), len(uris)) for field in list(MANIFEST)[2:]
    }
    return pa.table(columns, schema=MANIFEST)


def draw_part(clips: pa.Table, generator: np.random.Generator) -> pa.Table:
    """PARTS rows of ``clips``, one segment each; every second clip has an event."""
    frames = clips.num_rows * FRAMES_PER_CLIP
    index = np.tile(np.arange(FRAMES_PER_CLIP), clips.num_rows)
    scores = generator.random((len(SCORE_COLUMNS), frames)) * 0.4
    scores[0, (index >= 4) & (index < 8) & (np.arange(frames) // FRAMES_PER_CLIP % 2 == 0)] = 0.9
    values: dict[str, Any] = {"frame_index": index * 12, "pts_s": index / 2.0}
    values |= dict(zip(SCORE_COLUMNS, scores, strict=True))
    of_frame = PARTS.field("frames").type.value_type
    columns = [pa.array(values[field.name]).cast(field.type) for field in of_frame]
    segments = pa.ListArray.from_arrays(
        pa.array(np.arange(clips.num_rows + 1) * FRAMES_PER_CLIP, pa.int32()),
        pa.StructArray.from_arrays(columns, fields=list(of_frame)),
    )
    same = {"slice": 0, "slices": 1, "segment": 0, "attempt": "a", "last": True, "outcome": "scored"}
    same |= {"precision": "fp32", "device": "cpu", "classify_s": 1.0, "decode_s": 1.0, "fetch_s": 0.1}
    same |= {"frames_sampled": FRAMES_PER_CLIP, "frames_decoded": FRAMES_PER_CLIP, "duration_s": 10.0, "codec": "h264"}
    known = {"video_id": clips["video_id"], "uri": clips["uri"], "frames": segments}
    return pa.table(
        {
            field.name: known.get(field.name, pa.repeat(pa.scalar(same.get(field.name), field.type), clips.num_rows))
            for field in PARTS
        }
    ).cast(PARTS)


def measure_store(store: Store, when: str) -> None:
    """Prints the files of a store, and the seconds that reading its frames takes."""
    files = count_files(store)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(files.items()))
    print(f"{when:16} {files.total():,} files: {kinds}")
    folder = f"{store.root}/frames"
    query = (
        f"SELECT run, avg(p_boundary) FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true) GROUP BY run"
    )
    readers: dict[str, Callable[[], int]] = {
        "pandas": lambda: len(pd.read_parquet(folder)),
        "DuckDB": lambda: len(duckdb.connect().execute(query).fetchall()),
    }
    for name, read in readers.items():
        seconds = [timed(read) for _ in range(TURNS)]
        print(f"{name:>16} {median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})  {read():,} rows")


def count_files(store: Store) -> Counter[str]:
    """The files of a store by what they are: frames, videos, events, parts, manifest.parquet, run.json."""
    paths = [path.relative_to(store.root) for path in Path(store.root).rglob("*") if path.is_file()]
    return Counter(
        path.parts[0] if path.parts[0] != "runs" else "parts" if "parts" in path.parts else path.name for path in paths
    )


def timed(read: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.monotonic()
    read()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
