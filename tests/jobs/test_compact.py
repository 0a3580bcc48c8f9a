"""`artifactscan compact`: a scoring store, all stores of an audit, and stores that cannot be compacted."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from exported_nights import night, stored, write_nights
from limits import without_privileges
from paths import ROOT

from artifactscan.jobs.compact import main
from artifactscan.storage.folder_exchange import ExchangeUnsupportedError
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store import compact
from artifactscan.store.layout import Store


def write_store(root: Path, nights: int = 2) -> Store:
    """Nights with five parts each."""
    store = Store(str(root))
    write_nights(store, nights)
    for run in store.run_ids():
        (part,) = parquet_files(store.parts(run))
        for number in range(4):
            write_table(read_table(part), f"{store.parts(run)}/{number}.parquet")
    return store


def test_a_store_is_compacted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store")
    before = stored(store)
    assert main([store.root]) == 0
    assert capsys.readouterr().out == f"2 runs of {store.root}: 17 files are 9 now, with the same rows\n"
    assert main([store.root]) == 0
    assert capsys.readouterr().out == f"2 runs of {store.root}: nothing was to be merged in 9 files\n"
    assert stored(store) == before
    assert not Path(store.lease).exists()


def test_one_run_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store", nights=1)
    assert main([store.root]) == 0
    assert capsys.readouterr().out == f"1 run of {store.root}: 8 files are 4 now, with the same rows\n"


def test_tables_that_cannot_be_exchanged_are_not_said_to_need_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unsupported(first: Path, second: Path) -> None:
        raise ExchangeUnsupportedError(22, "Invalid argument")

    store = write_store(tmp_path / "store", nights=1)
    assert main([store.root]) == 0
    write_table(
        read_table(parquet_files(store.frames(night(0)))[0]).slice(0, 0), f"{store.frames(night(0))}/frames-1.parquet"
    )
    monkeypatch.setattr(compact, "exchange_folders", unsupported)
    capsys.readouterr()
    assert main([store.root]) == 0
    assert capsys.readouterr().out == (
        f"1 run of {store.root}: nothing was merged in 5 files\n"
        "tables with several files stay as they are: this storage cannot exchange folders in one step, so that readers "
        "would see rows twice\n"
    )


def test_all_scoring_stores_of_an_audit_are_compacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [write_store(tmp_path / "audit" / name) for name in ("scores", "resample", f"nights/{night(0)}/canary")]
    assert main([str(tmp_path / "audit")]) == 0
    assert capsys.readouterr().out.startswith(f"6 runs of {tmp_path}/audit: 51 files are 27 now")
    assert {len(parquet_files(store.parts(run))) for store in stores for run in store.run_ids()} == {1}


def test_a_store_that_another_job_works_on_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store")
    with Lease(store.lease):
        assert main([store.root]) == 2
    assert "is working on this store" in capsys.readouterr().err
    assert len(parquet_files(store.parts(night(0)))) == 5


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert "holds no runs; give the folder that `artifactscan score` or `audit` writes to" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def _cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _add_foreign(file: Path) -> None:
    file.with_name("zz.parquet").write_bytes(b"PAR1 of something else")


@pytest.mark.parametrize("table", ["frames", "videos", "events"])
@pytest.mark.parametrize("damage", [_cut_off, _empty, _add_foreign])
def test_a_damaged_file_is_named_after_the_other_runs_are_compacted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], table: str
) -> None:
    store = write_store(tmp_path / "store")
    (file,) = map(Path, parquet_files(getattr(store, table)(night(0))))
    damage(file)
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    assert main([store.root]) == 2
    told = capsys.readouterr()
    more = len(before) - 1
    assert told.out == f"2 runs of {store.root}: {17 + more} files are {13 + more} now, with the same rows\n"
    name = "zz.parquet" if damage is _add_foreign else file.name
    assert re.fullmatch(
        rf"error: table {re.escape(str(file.with_name(name)))} is damaged or cut off \(.+\); restore it from a copy\n",
        told.err,
    )
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before
    assert len(parquet_files(store.parts(night(1)))) == 1


def test_a_damaged_merged_part_and_a_foreign_part_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store", nights=1)
    foreign = Path(store.parts(night(0)), "zz.parquet")
    write_table(pa.table({"other": [1]}), str(foreign))
    assert main([store.root]) == 2
    assert f"error: table {foreign} is damaged or cut off (it lacks video_id, " in capsys.readouterr().err
    assert len(parquet_files(store.parts(night(0)))) == 6
    foreign.unlink()
    assert main([store.root]) == 0
    (merged,) = parquet_files(store.parts(night(0)))
    _cut_off(Path(merged))
    capsys.readouterr()
    assert main([store.root]) == 2
    assert f"error: table {merged} is damaged or cut off (" in capsys.readouterr().err


def test_a_store_without_the_right_to_write_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with without_privileges() as folder:
        store = write_store(folder / "store")
        Path(store.root).chmod(0o500)
        assert main([store.root]) == 2
        Path(store.root).chmod(0o700)
    said = f"error: store {store.root} cannot be written: Permission denied; get the right to write there\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("left_kb", [0, 8])
def test_a_full_disk_asks_for_room_and_the_same_command_continues(tmp_path: Path, left_kb: int) -> None:
    """With a little room left the check passes and the merging does not."""
    store = write_store(tmp_path / "store")
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=2m tmpfs {small} && cp -r {store.root} {small}/store && "
        f"(head -c 99999999 /dev/zero > {small}/fill || true) 2>/dev/null && "
        f'truncate -s -{left_kb}K {small}/fill && "$@"; echo $?; rm {small}/fill; "$@"'
    )
    job = [sys.executable, "-m", "artifactscan", "compact", f"{small}/store"]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *job],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("this machine lets nobody make a namespace of mounts")
    first, *_ = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert first.endswith(
        f": No space left on device; the file system at {small} is full; free some space there; the same command "
        "continues the compaction"
    )
    code, *rest = done.stdout.splitlines()
    assert (code, rest) == ("3", [f"2 runs of {small}/store: 17 files are 9 now, with the same rows"])
