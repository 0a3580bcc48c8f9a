"""The layout of a store and its runs, committed or not; in a folder and in a bucket."""

import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parts import manifest_row, record
from s3_server import S3Server

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.schemas import MANIFEST
from artifactscan.storage.parquet import parquet_files, read_batches, read_schema, read_table, write_table
from artifactscan.store.layout import Store, is_run_id, manifest_schema, new_run_id
from artifactscan.store.run_records import StoredRuns

NUMBERS = pa.table({"n": list(range(1000)), "text": ["same"] * 1000})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose folder is not there yet."""
    return Store(str(tmp_path / "store"))


def begin(store: Store, run: str, request: str) -> None:
    """What a run leaves that is cut off right after its plan."""
    rows = [manifest_row("/a")]
    write_table(pa.Table.from_pylist(rows, schema=manifest_schema(MANIFEST, request)), store.manifest(run))


def unfinished(store: Store, request: str) -> str | None:
    """The run that the same request would continue."""
    return store.find_unfinished(request, store.read_runs().uncommitted)


def test_the_layout_is_frozen() -> None:
    store = Store("s3://bucket/scores")
    assert store.frames("r") == "s3://bucket/scores/frames/run=r"
    assert store.videos("r") == "s3://bucket/scores/videos/run=r"
    assert store.events("r") == "s3://bucket/scores/events/run=r"
    assert store.manifest("r") == "s3://bucket/scores/runs/r/manifest.parquet"
    assert store.parts("r") == "s3://bucket/scores/runs/r/parts"
    assert store.run_json("r") == "s3://bucket/scores/runs/r/run.json"
    assert Store("/").run("r") == "/runs/r"


def test_run_ids_contain_the_time_and_are_unique() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    for run in ids:
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", run) and is_run_id(run)
        assert before <= datetime.strptime(run[:16], "%Y%m%dT%H%M%S%z") <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["baseline", "1", "20260101T030000Z", "20260101T030000Z-abcdefgh", ".tmp"])
def test_other_names_are_no_run_ids(name: str) -> None:
    assert not is_run_id(name)


def test_an_empty_store(store: Store) -> None:
    assert (store.run_ids(), store.committed(), store.read_runs()) == ([], [], StoredRuns((), ()))


def test_a_run_is_committed_by_its_run_json(store: Store) -> None:
    for run in ("b", "c", "a"):
        begin(store, run, "request")
    assert store.committed() == []
    store.commit(record("c", spec="other"))
    store.commit(record("b"))
    assert store.run_ids() == ["a", "b", "c"]
    assert store.committed() == [record("b"), record("c", spec="other")]


def test_the_latest_uncommitted_run_of_the_same_request_is_found(store: Store) -> None:
    for run, request in (("a", "mine"), ("b", "mine"), ("c", "mine"), ("d", "another's")):
        begin(store, run, request)
    storage.write_bytes(storage.join(store.parts("e"), "one.parquet"), b"")
    store.commit(record("c"))
    assert unfinished(store, "mine") == "b"
    assert unfinished(store, "another's") == "d"
    assert unfinished(store, "") is None
    store.commit(record("b"))
    assert unfinished(store, "mine") == "a"
    store.commit(record("a"))
    assert unfinished(store, "mine") is None


def test_a_store_in_a_bucket(s3: S3Server) -> None:
    store = Store(s3.uri("some/store"))
    begin(store, "a", "mine")
    assert store.committed() == []
    assert unfinished(store, "mine") == "a"
    assert read_table(store.manifest("a"), ["uri"]).to_pylist() == [{"uri": "/a"}]
    store.commit(record("a"))
    assert store.committed() == [record("a")]


def test_a_manifest_without_a_request_is_not_continued(store: Store) -> None:
    write_table(MANIFEST.empty_table(), store.manifest("a"))
    assert unfinished(store, "request") is None


def test_a_record_is_read_back_unchanged(store: Store) -> None:
    full = replace(
        record("a"),
        spec={"sample_fps": 2.5, "input": {"mean": [0.1, 0.2, 0.3]}},
        settings={"limit": None, "include": ["*.mp4", "ü"]},
        checkpoint={"trained": False},
        versions={"ray": "2.55.1"},
        seconds={"plan": 0.25},
        counts={"frames": 10**10},
        outcomes={"scored": 3},
        notes=["one", "two"],
    )
    store.commit(full)
    assert store.committed() == [full]
    assert json.loads(Path(store.run_json("a")).read_text()) == asdict(full)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "Expecting value"),
        (b'{"store_version": 1', "Expecting ',' delimiter"),
        (b"\xff", "can't decode byte 0xff"),
        (b"[]", "list indices must be integers"),
        (b"{}", "'store_version'"),
        (b'{"store_version": 1}', "missing"),
    ],
)
def test_a_damaged_run_json_is_named(store: Store, text: bytes, words: str) -> None:
    store.commit(record("good"))
    storage.write_bytes(store.run_json("bad"), text)
    with pytest.raises(UsageError) as raised:
        store.committed()
    said = str(raised.value)
    assert said.startswith(f"{store.run_json('bad')} is damaged (")
    assert words in said
    assert said.endswith("); restore it, or remove it to have the run settled again")


def test_a_run_json_of_another_version_is_not_misread(store: Store) -> None:
    newer = {**asdict(record("a")), "store_version": 2, "unheard_of": True}
    storage.write_bytes(store.run_json("a"), json.dumps(newer).encode())
    with pytest.raises(UsageError) as raised:
        store.committed()
    assert str(raised.value) == (
        f"{store.run_json('a')} has store version 2, this artifactscan reads 1; "
        "use the version that wrote it, or another --output"
    )


def test_reading_a_table_whole_by_columns_and_in_batches(store: Store) -> None:
    uri = storage.join(store.videos("a"), "videos-00000.parquet")
    write_table(NUMBERS.slice(0, 1), uri)
    write_table(NUMBERS, uri)
    assert read_table(uri).equals(NUMBERS)
    assert read_table(uri, ["n"]).column_names == ["n"]
    assert pa.Table.from_batches(read_batches(uri, ["text"])).equals(NUMBERS.select(["text"]))
    assert storage.list_names(store.videos("a")) == ["videos-00000.parquet"]


def test_tables_are_zstd(store: Store) -> None:
    uri = storage.join(store.root, "t.parquet")
    write_table(NUMBERS, uri)
    group = pq.ParquetFile(uri).metadata.row_group(0)
    assert [group.column(n).compression for n in range(group.num_columns)] == ["ZSTD", "ZSTD"]


def test_the_request_is_metadata_of_the_manifest_schema(store: Store) -> None:
    begin(store, "a", "request")
    schema = read_schema(store.manifest("a"))
    assert schema.equals(MANIFEST)
    assert b"request" in (schema.metadata or {}).values()


def test_parquet_files_are_found_by_name(store: Store) -> None:
    assert parquet_files(store.frames("a")) == []
    for name in ("b.parquet", "a.parquet", "unchanged-a.parquet", "a.parquet.tmp", "a.json", "deep/c.parquet"):
        storage.write_bytes(storage.join(store.frames("a"), name), b"")
    found = [uri.removeprefix(store.frames("a")) for uri in parquet_files(store.frames("a"))]
    assert found == ["/a.parquet", "/b.parquet", "/unchanged-a.parquet"]
    assert parquet_files(store.frames("a"), prefix="unchanged-") == [f"{store.frames('a')}/unchanged-a.parquet"]


def test_pandas_reads_all_runs_of_a_table_at_once(store: Store) -> None:
    runs = sorted(new_run_id() for _ in range(2))
    for size, run in enumerate(runs, start=1):
        write_table(NUMBERS.slice(0, size), storage.join(store.frames(run), "frames-00000.parquet"))
    frames = pd.read_parquet(Path(store.root, "frames"))
    assert frames["run"].astype(str).tolist() == [runs[0], runs[1], runs[1]]
    assert frames["n"].tolist() == [0, 0, 1]


def test_tables_of_uncommitted_runs_are_discarded(store: Store) -> None:
    for run in ("a", "b"):
        begin(store, run, "mine")
        for folder in (store.frames(run), store.events(run), store.videos(run)):
            write_table(NUMBERS, storage.join(folder, "one.parquet"))
    write_table(NUMBERS, storage.join(store.frames("from elsewhere"), "one.parquet"))
    store.commit(record("a"))
    assert store.read_runs().uncommitted == ("b",)
    store.discard_tables(store.read_runs().uncommitted)
    for folder in (store.frames("a"), store.events("a"), store.videos("a"), store.frames("from elsewhere")):
        assert len(parquet_files(folder)) == 1
    for folder in (store.frames("b"), store.events("b"), store.videos("b")):
        assert parquet_files(folder) == []
    assert unfinished(store, "mine") == "b", "the manifest and the parts stay"
