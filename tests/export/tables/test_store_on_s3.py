"""A store in an object storage: read by the project's own client; one that fails halfway costs nothing."""

from pathlib import Path

import pytest
from exported_nights import READERS, export, night, stored, write_nights
from s3_server import S3Server

from artifactscan.jobs.export import main as export_job
from artifactscan.storage import retries
from artifactscan.store.layout import Store


@pytest.fixture
def local(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 4)
    return store


@pytest.mark.parametrize("to", sorted(READERS))
def test_a_storage_that_fails_halfway_is_one_sentence_and_the_same_command_goes_on(
    to: str, local: Store, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: 0.0)
    store, output = s3.put_folder("scores", Path(local.root)), tmp_path / "target"
    keys = s3.keys()
    s3.faults.status(f"scores/frames/run={night(2)}/*", 500)
    arguments = [store, "--to", to, "--output", str(output)]
    assert export_job(arguments) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: the run was cut off: s3://")
    assert "the storage answered 500" in error
    assert error.endswith("; the same command continues the export")
    assert READERS[to](output)["frames"] == []
    s3.faults.clear()
    assert export_job(arguments) == 0
    assert READERS[to](output) == stored(local)
    assert not {request.method for request in s3.faults.requests} - {"GET", "HEAD"}, "the store is only read"
    assert s3.keys() == keys


def test_views_over_a_store_on_s3_name_its_bucket_and_its_committed_runs(
    local: Store, s3: S3Server, tmp_path: Path
) -> None:
    Path(local.run_json(night(3))).unlink()
    store = s3.put_folder("scores", Path(local.root))
    export(Store(store), "views", tmp_path / "views")
    duckdb, athena = ((tmp_path / "views" / f"{name}.sql").read_text() for name in ("duckdb", "athena"))
    assert f"'{store}/frames/run=*/*.parquet'" in duckdb
    assert f"LOCATION '{store}/events/'" in athena
    for number in range(4):
        assert athena.count(f"PARTITION (run = '{night(number)}')") == (0 if number == 3 else 3)
        assert (f"('{night(number)}', 'spec', 'scope', 'resnet50-00000000', '" in athena) == (number != 3)
    assert "{" not in athena
