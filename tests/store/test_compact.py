"""A compacted store has the same rows in fewer files, whenever it was cut off and whoever reads it meanwhile."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from damaged import damage_pages
from exported_nights import LOWER, as_the_job_writes, night, stored, write_nights
from parts import attempt, manifest_row, open_work, record, settle_run, write_manifest, write_part
from paths import ROOT
from s3_server import S3Server

from artifactscan.errors import CutOffError
from artifactscan.scoring import settle
from artifactscan.scoring.complete_attempts import read_complete_attempts
from artifactscan.scoring.flags import flag_anew
from artifactscan.storage import folder_exchange
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store import compact
from artifactscan.store.compact import Compaction, compact_store
from artifactscan.store.layout import Store

PARTS, VIDEOS_PER_PART, FRAMES = 12, 3, 8


def held() -> None:
    """The lease is held."""


def write_small_files(store: Store, number: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A committed run with a part for every three videos, whose frames and events are in several files."""
    monkeypatch.setattr(settle, "FRAMES_PER_FILE", FRAMES * VIDEOS_PER_PART * 3)
    run = night(number)
    uris = [f"/clips/{number}-{video}.mp4" for video in range(PARTS * VIDEOS_PER_PART)]
    write_manifest(store, run, [manifest_row(uri) for uri in uris])
    for part in range(PARTS):
        mine = uris[part * VIDEOS_PER_PART : (part + 1) * VIDEOS_PER_PART]
        write_part(store, run, f"{part:02d}", [row for uri in mine for row in attempt(uri, [FRAMES // 2, FRAMES // 2])])
    totals = settle_run(store, run)
    as_the_job_writes(store, record(run), number)
    assert totals.frames == PARTS * VIDEOS_PER_PART * FRAMES
    return run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store(str(tmp_path / "store"))
    for number in range(3):
        write_small_files(store, number, monkeypatch)
    return store


def files(store: Store, run: str) -> dict[str, int]:
    folders = {"frames": store.frames(run), "videos": store.videos(run), "events": store.events(run)}
    return {name: len(parquet_files(folder)) for name, folder in {**folders, "parts": store.parts(run)}.items()}


def rows_of_parts(store: Store, run: str) -> list[dict]:
    """The rows of all parts of a run, in one order."""
    rows = [row for file in parquet_files(store.parts(run)) for row in read_table(file).to_pylist()]
    return sorted(rows, key=lambda row: (row["uri"], row["segment"]))


def test_the_rows_are_the_same_in_fewer_files(store: Store) -> None:
    before, parts = stored(store), {run: rows_of_parts(store, run) for run in store.run_ids()}
    counts = files(store, night(0))
    assert counts["parts"] == PARTS
    assert min(counts["frames"], counts["events"]) > 2
    done = compact_store(store, held)
    assert {run: files(store, run) for run in store.run_ids()} == {
        night(number): {"frames": 1, "videos": 1, "events": 1, "parts": 1} for number in range(3)
    }
    assert done == Compaction(runs=3, files_before=3 * sum(counts.values()), files_after=12)
    assert stored(store) == before
    assert {run: rows_of_parts(store, run) for run in store.run_ids()} == parts
    assert not list(Path(store.root).rglob("compacting"))
    modified = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")}
    assert compact_store(store, held) == Compaction(runs=3, files_before=12, files_after=12)
    assert {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")} == modified


def test_a_compacted_run_can_be_settled_again(store: Store) -> None:
    before, run = stored(store), night(1)
    compact_store(store, held)
    Path(store.run_json(run)).unlink()
    assert open_work(store, run).num_rows == 0
    settle_run(store, run)
    as_the_job_writes(store, record(run), 1)
    assert stored(store) == before


def test_flags_of_a_compacted_run_are_computed_anew(store: Store, tmp_path: Path) -> None:
    other = Store(str(shutil.copytree(store.root, tmp_path / "other")))
    compact_store(store, held)
    for each in (store, other):
        for run in each.committed():
            flag_anew(each, run, LOWER)
    assert stored(store) == stored(other)


def test_events_that_were_merged_apart_from_frames_are_replaced(store: Store) -> None:
    run = store.committed()[0]
    for file in parquet_files(store.events(run.run)):
        Path(file).rename(file.replace("events-", "events-other-"))
    flag_anew(store, run, LOWER)
    names = [Path(file).name for file in parquet_files(store.events(run.run))]
    assert names == [Path(file).name.replace("frames", "events") for file in parquet_files(store.frames(run.run))]


def test_a_run_that_is_not_committed_is_left_alone(store: Store) -> None:
    Path(store.run_json(night(2))).unlink()
    before = {path: path.read_bytes() for path in Path(store.run(night(2))).rglob("*.parquet")}
    compact_store(store, held)
    assert {path: path.read_bytes() for path in Path(store.run(night(2))).rglob("*.parquet")} == before
    assert files(store, night(2))["parts"] == PARTS


@pytest.mark.parametrize("table", ["frames", "videos", "events"])
def test_a_run_that_lost_rows_is_named_and_left_as_it_is(table: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 2)
    lost = Path(getattr(store, table)(night(1)))
    rows = sum(read_table(file).num_rows for file in parquet_files(str(lost)))
    shutil.rmtree(lost)
    before = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")}
    (error,) = compact_store(store, held).damaged
    assert str(error) == (
        f"{lost} has 0 rows, and run.json says {rows}; restore it from a copy, or remove {store.run_json(night(1))} to "
        "have the run settled again"
    )
    assert {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")} == before


@pytest.mark.parametrize("table", ["frames", "events"])
def test_a_table_with_a_damaged_page_is_named_and_its_files_stay(table: str, store: Store) -> None:
    folder = getattr(store, table)(night(0))
    damaged = parquet_files(folder)[1]
    damage_pages(damaged)
    before = {path: path.read_bytes() for path in Path(folder).iterdir()}
    (error,) = compact_store(store, held).damaged
    assert re.match(rf"^table {damaged} is damaged or cut off \(.+\); restore it from a copy$", str(error))
    assert {path: path.read_bytes() for path in Path(folder).iterdir()} == before


@pytest.mark.parametrize("table", ["frames", "videos", "events"])
def test_a_table_without_its_footer_is_named(table: str, store: Store) -> None:
    cut = Path(parquet_files(getattr(store, table)(night(0)))[0])
    cut.write_bytes(cut.read_bytes()[:-20])
    (error,) = compact_store(store, held).damaged
    assert re.match(rf"^table {cut} is damaged or cut off \(.+\); restore it from a copy$", str(error))


def test_a_table_without_a_column_is_named(store: Store) -> None:
    [file] = parquet_files(store.videos(night(0)))
    write_table(read_table(file).drop_columns(["uri"]), file)
    (error,) = compact_store(store, held).damaged
    assert re.match(rf"^table {file} is damaged or cut off \(it has no column uri\); restore it", str(error))


def test_a_run_whose_events_are_being_computed_anew_is_compacted(store: Store) -> None:
    record = store.committed()[0].with_flags_by(None)
    store.commit(record)
    for file in parquet_files(store.events(record.run))[:-1]:
        Path(file).unlink()
    assert compact_store(store, held).runs == 3


def test_a_part_that_cannot_be_read_stays(store: Store) -> None:
    broken = Path(store.parts(night(0)), "05.parquet")
    broken.write_bytes(broken.read_bytes()[:100])
    compact_store(store, held)
    assert [Path(file).name[:7] for file in parquet_files(store.parts(night(0)))] == ["05.parq", "merged-"]
    assert broken.stat().st_size == 100


def test_sources_that_a_kill_left_are_removed_and_not_merged_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, parts = night(0), rows_of_parts(store, night(0))
    with monkeypatch.context() as patched:
        patched.setattr(compact, "_remove", lambda files: None)
        compact_store(store, held)
    assert files(store, run)["parts"] == PARTS + 1
    Path(store.parts(run), "03.parquet").unlink()
    assert set(read_complete_attempts(store, run).whole) == {row["video_id"] for row in parts}
    compact_store(store, held)
    assert files(store, run)["parts"] == 1
    assert rows_of_parts(store, run) == parts


def test_large_parts_and_files_are_not_merged_beyond_their_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "FRAMES_PER_PART", 3 * VIDEOS_PER_PART * FRAMES)
    monkeypatch.setattr(compact, "ROWS_PER_FILE", 200)
    before = stored(store)
    compact_store(store, held)
    assert stored(store) == before
    assert files(store, night(0))["parts"] == PARTS // 3
    rows = [pq.read_metadata(file).num_rows for file in parquet_files(store.frames(night(0)))]
    assert sum(rows) == PARTS * VIDEOS_PER_PART * FRAMES
    assert max(rows) <= 200
    settled = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*.parquet")}
    compact_store(store, held)
    assert {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*.parquet")} == settled


def test_a_lost_lease_changes_no_table(store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(store.root, "frames").rglob("*")}

    def lost() -> None:
        raise CutOffError("another process has taken over the lease")

    with pytest.raises(CutOffError):
        compact_store(store, lost)
    assert {path: path.stat().st_mtime_ns for path in Path(store.root, "frames").rglob("*")} == before


def test_without_an_exchange_of_folders_tables_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(first: Path, second: Path) -> None:
        raise folder_exchange.ExchangeUnsupportedError(22, "Invalid argument")

    before = files(store, night(0))
    monkeypatch.setattr(compact, "exchange_folders", unsupported)
    assert compact_store(store, held).tables_kept
    assert files(store, night(0)) == {**before, "parts": 1}
    assert not list(Path(store.root).rglob("compacting"))


def test_on_an_object_storage_only_parts_are_merged(store: Store, s3: S3Server) -> None:
    remote = Store(s3.put_folder("scores", Path(store.root)))
    keys, parts = s3.keys(), rows_of_parts(store, night(0))
    done = compact_store(remote, held)
    assert done.tables_kept
    assert rows_of_parts(remote, night(0)) == parts
    now = s3.keys()
    left = [key for key in now if key not in keys]
    assert [key.rsplit("/", 1)[0] for key in left] == [f"scores/runs/{night(number)}/parts" for number in range(3)]
    assert [key for key in keys if "/parts/" not in key] == [key for key in now if "/parts/" not in key]


def compacting(store: Store) -> subprocess.Popen[bytes]:
    """A process that says "begin" once all is loaded, and compacts the store."""
    source = (
        "import sys; from artifactscan.store.compact import compact_store; "
        "from artifactscan.store.layout import Store; "
        "print('begin', flush=True); compact_store(Store(sys.argv[1]), lambda: None)"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/src"}
    process = subprocess.Popen([sys.executable, "-c", source, store.root], env=env, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"begin\n"
    return process


def kill_at(store: Store, moment: float) -> bool:
    """Whether the process was still at it when it was killed ``moment`` seconds after its beginning."""
    with compacting(store) as process:
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def test_killed_at_random_moments_it_has_the_same_rows_at_each(store: Store) -> None:
    before, parts = stored(store), {run: rows_of_parts(store, run) for run in store.run_ids()}
    generator, killed = random.Random(3), 0
    for _ in range(8):
        killed += kill_at(store, generator.uniform(0, 0.05))
        assert stored(store) == before
        for run in store.run_ids():
            assert {row["video_id"] for row in rows_of_parts(store, run)} == {row["video_id"] for row in parts[run]}
    compact_store(store, held)
    assert killed
    assert {run: rows_of_parts(store, run) for run in store.run_ids()} == parts
    assert files(store, night(2)) == {"frames": 1, "videos": 1, "events": 1, "parts": 1}


@pytest.fixture
def reader(store: Store) -> Iterator[list[int]]:
    """Reads the frames of the store over and over, as pandas does; what it found are the rows of each time."""
    found: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                found.append(pq.read_table(f"{store.root}/frames").num_rows)
            except FileNotFoundError:  # listed before an exchange, opened after it
                continue

    thread = threading.Thread(target=read)
    thread.start()
    yield found
    stop.set()
    thread.join()


def test_a_reader_in_a_loop_sees_the_same_rows_all_the_time(store: Store, reader: list[int]) -> None:
    while len(reader) < 3:
        time.sleep(0.01)
    with compacting(store) as process:
        process.wait()
    seen = len(reader)
    while len(reader) < seen + 3:
        time.sleep(0.01)
    assert set(reader) == {3 * PARTS * VIDEOS_PER_PART * FRAMES}
    assert files(store, night(0))["frames"] == 1


def test_thirty_nights_become_few_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 30)
    for run in store.run_ids():
        (part,) = parquet_files(store.parts(run))
        table = read_table(part)
        for number in range(4):
            write_table(table, f"{store.parts(run)}/{number}.parquet")  # at least once
    before = stored(store)
    done = compact_store(store, held)
    assert (done.files_before, done.files_after) == (30 * (5 + 4) - 1, 30 * 5 - 1)
    assert stored(store) == before


def test_the_lease_of_a_store_is_that_of_its_jobs(store: Store) -> None:
    with Lease(store.lease) as lease:
        assert compact_store(store, lease.check_if_due).runs == 3
