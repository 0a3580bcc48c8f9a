"""Stores that have no nights to judge again."""

from pathlib import Path

import pytest
from nights import FIRST, SECOND, a_night
from scored_runs import motion, write_run

from artifactscan.audit import rejudge as module
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.rejudge import rejudge
from artifactscan.audit.settings import ReportSettings
from artifactscan.errors import UsageError
from artifactscan.storage.lease import Lease
from artifactscan.store.layout import Store


def test_a_scoring_store_is_named_as_one(tmp_path: Path) -> None:
    write_run(Store(str(tmp_path)), "run1", {"/c/a.mp4": motion(0.9)})
    with pytest.raises(UsageError, match=f"--store {tmp_path} is a scoring store, without nights; give the"):
        rejudge(ReportSettings(store=str(tmp_path)))


def test_an_empty_folder_has_no_nights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no nights"):
        rejudge(ReportSettings(store=str(tmp_path)))


def test_a_night_that_is_committed_before_the_lease_is_taken_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AuditStore(str(tmp_path))
    store.commit(a_night(FIRST))

    class LaterLease(Lease):
        def __enter__(self) -> Lease:
            store.commit(a_night(SECOND))
            return super().__enter__()

    judged = []
    monkeypatch.setattr(module, "Lease", LaterLease)
    monkeypatch.setattr(module, "_rejudge", lambda _store, nights, chosen, *_: judged.append((nights, chosen.night)))
    rejudge(ReportSettings(store=str(tmp_path)))
    [(nights, chosen)] = judged
    assert [night.night for night in nights] == [FIRST, SECOND]
    assert chosen == SECOND
