"""Stores that have no nights to judge again."""

from pathlib import Path

import pytest
from scored_runs import motion, write_run

from artifactscan.audit.rejudge import rejudge
from artifactscan.audit.settings import ReportSettings
from artifactscan.errors import UsageError
from artifactscan.store.layout import Store


def test_a_scoring_store_is_named_as_one(tmp_path: Path) -> None:
    write_run(Store(str(tmp_path)), "run1", {"/c/a.mp4": motion(0.9)})
    with pytest.raises(UsageError, match=f"--store {tmp_path} is a scoring store, without nights; give the"):
        rejudge(ReportSettings(store=str(tmp_path)))


def test_an_empty_folder_has_no_nights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no nights"):
        rejudge(ReportSettings(store=str(tmp_path)))
