"""The scoring job with Google Cloud Storage or Azure Blob Storage on both sides, its Ray included."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulators import Emulator, start_azure, start_gcs
from media import write_clip

from artifactscan import storage
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.storage import azure, gcs
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store


@pytest.fixture(params=[start_gcs, start_azure], ids=["gs", "az"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    started: Emulator | None = request.param()
    if started is None:
        pytest.skip(f"the emulator of {request.param.__name__} is not installed")
    for name, value in started.env.items():
        monkeypatch.setenv(name, value)
    if started.scheme == "gs":
        gcs._client().create_bucket("bucket")
    else:
        azure._service().create_container("bucket")
    yield f"{started.scheme}://bucket"
    started.close()
    gcs._client.cache_clear()
    azure._service.cache_clear()


@pytest.mark.slow
def test_a_corpus_is_scored_and_then_unchanged(bucket: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1).read_bytes()
    for name in ("a.mp4", "b//c.mp4"):
        storage.write_bytes(f"{bucket}/in/{name}", clip)
    save_checkpoint(initialise("test_resnet.r160_in1k", height=64, width=64), f"{bucket}/checkpoint")
    places = ("--input", f"{bucket}/in", "--output", f"{bucket}/out", "--checkpoint", f"{bucket}/checkpoint")
    command = [sys.executable, "-m", "artifactscan", "score", *places]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    for more in (True, False):
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        store = Store(f"{bucket}/out")
        if more:
            storage.write_bytes(f"{bucket}/in/d.mp4", clip)
    first, second = store.committed()
    assert first.outcomes == {"scored": 2}
    assert second.outcomes == {"scored": 1, "unchanged": 2}
    frames = [read_table(file) for run in (first, second) for file in parquet_files(store.frames(run.run))]
    assert {uri for table in frames for uri in table["uri"].to_pylist()} == {
        f"{bucket}/in/{name}" for name in ("a.mp4", "b//c.mp4", "d.mp4")
    }
    assert "lease.json" not in storage.list_names(store.root)
