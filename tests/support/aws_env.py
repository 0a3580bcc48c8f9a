"""Sets the AWS environment of this process, and drops the clients made for the previous one."""

import os

import pytest

from artifactscan.storage import s3


def set_aws_env(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """Makes ``env`` the whole AWS environment of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    forget_clients()


def forget_clients() -> None:
    """Drops the cached clients, so that the next request uses the current environment."""
    for cached in (s3._session, s3.s3_client, s3._listing_client):
        cached.cache_clear()
