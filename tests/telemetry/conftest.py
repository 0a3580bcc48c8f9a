"""Fixtures of the tests of MLflow runs."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def client() -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
