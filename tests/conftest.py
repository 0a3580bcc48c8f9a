"""Fixtures that more than one test file uses."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from s3_server import S3Server

from artifactscan import storage

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A real S3 server on loopback with a fresh bucket and no faults; the AWS environment leads to it."""
    _s3_server.new_bucket()
    set_aws_env(monkeypatch, _s3_server.env)
    yield _s3_server
    forget_clients()


def set_aws_env(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """Makes ``env`` the whole AWS environment of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    forget_clients()


def forget_clients() -> None:
    """Has the next request made by a client for the environment of then."""
    for cached in (storage.s3_client, storage._s3_filesystem, storage._listing_client):
        cached.cache_clear()
