"""No credential ends up in what a run writes: not in the store, on the terminal, or in Ray's log files."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aws_env import forget_clients, set_aws_env
from media import write_clip
from s3_server import S3Server

from artifactscan.jobs.score import main
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYSecretKey0001",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEDistinctiveSessionToken0002",
}
COLLECTOR_SECRETS = {"password": "DistinctiveCollectorPassword0003", "header": "DistinctiveCollectorKey0004"}


@pytest.fixture
def aws(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An empty bucket, and an AWS environment with temporary credentials that a search would find."""
    _s3_server.new_bucket()
    set_aws_env(monkeypatch, _s3_server.env | SECRETS)
    # A collector that is not there, of which the run therefore speaks.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:{COLLECTOR_SECRETS['password']}@127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={COLLECTOR_SECRETS['header']}")
    yield _s3_server
    forget_clients()


def texts(name: str, data: bytes) -> Iterator[bytes]:
    """What a file holds as it lies and, of Parquet, which is compressed, what is in it."""
    yield data
    if name.endswith(".parquet"):
        file = pq.ParquetFile(io.BytesIO(data))
        yield repr(file.schema_arrow.metadata).encode()
        yield repr(file.read().drop_columns([n for n in file.schema_arrow.names if n == "pixels"]).to_pylist()).encode()


def holding(files: dict[str, bytes], word: str) -> list[str]:
    return [name for name, data in files.items() if any(word.encode() in text for text in texts(name, data))]


def test_credentials_are_in_nothing_that_a_run_writes(
    aws: S3Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    checkpoint = str(tmp_path / "checkpoint")
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), checkpoint)
    aws.put("videos/good.mp4", write_clip(tmp_path / "good.mp4").read_bytes())
    aws.put("videos/forbidden.mp4")
    aws.faults.status("videos/forbidden.mp4", 403, methods=("GET",))
    arguments = ["--input", aws.uri("videos"), "--output", aws.uri("scores"), "--checkpoint", checkpoint]
    arguments += ["--executor", "ray"]
    ray.shutdown()  # one of other tests, whose workers have other credentials
    try:
        assert main([*arguments, "--max-failed", "0.5"]) == 0
        session = Path(ray._private.worker._global_node.get_session_dir_path())  # type: ignore[union-attr]
    finally:
        ray.shutdown()
    said = capfd.readouterr()

    sent = [{name.lower(): value for name, value in request.headers.items()} for request in aws.faults.requests]
    tokens = {headers.get("x-amz-security-token") for headers in sent}
    assert tokens == {SECRETS["AWS_SESSION_TOKEN"]}, "the run used these credentials, in all its processes"
    keys = aws.keys()
    store = {key: aws.client.get_object(Bucket=aws.bucket, Key=key)["Body"].read() for key in keys}
    logs = {str(path): path.read_bytes() for path in session.rglob("*") if path.is_file()}
    written = {**store, **logs, "stdout": said.out.encode(), "stderr": said.err.encode(), "log": caplog.text.encode()}
    assert len(holding(store, "access denied")) >= 2, "the search sees into a part and into the ledger"
    assert [name for name in logs if "worker" in name], "Ray's logs are where they are looked for"
    assert "2 videos" in said.out + said.err
    assert "spans were not taken by the collector at http://127.0.0.1:9" in caplog.text
    for name, secret in {**SECRETS, **COLLECTOR_SECRETS}.items():
        assert holding(written, secret) == [], name
