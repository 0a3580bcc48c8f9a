"""The store that an export is given: one that cannot be read is wrong usage, and nothing is written."""

from pathlib import Path

import pytest
from refused_export import refused_export
from s3_server import S3Server

TARGETS = ["webvtt", "fiftyone", "views", "duckdb", "delta", "iceberg"]


@pytest.mark.parametrize("to", TARGETS)
def test_a_bucket_that_does_not_exist_is_wrong_usage(
    to: str, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused_export(["s3://no-such-bucket/x", "--to", to, "--output", str(tmp_path / "out")], capsys)
    assert said == (
        "store s3://no-such-bucket/x cannot be read: s3://no-such-bucket/x/nights: the bucket does not exist; "
        "give the same command again when it can be"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", TARGETS)
def test_a_storage_that_refuses_is_wrong_usage(
    to: str, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.faults.status("", 403)
    said = refused_export([s3.uri("scores"), "--to", to, "--output", str(tmp_path / "out")], capsys)
    assert said.startswith(f"store {s3.uri('scores')} cannot be read: ")
    assert list(tmp_path.iterdir()) == []
