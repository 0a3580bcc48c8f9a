"""`artifactscan compact`: a scoring store, all stores of an audit, and stores that cannot be compacted."""

from pathlib import Path

import pytest
from exported_nights import night, stored, write_nights

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
