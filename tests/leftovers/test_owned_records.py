"""Records that are locked while their owner lives, with real processes that die."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from artifactscan.leftovers import owned_records
from artifactscan.leftovers.owned_records import OwnedRecord, records_folder, take_abandoned_records

OWNER = """
import sys, time
from artifactscan.leftovers.owned_records import OwnedRecord
record = OwnedRecord("thing", number=1)
record.update(number=2)
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    found = records_folder()
    assert found is not None and found.parent == tmp_path and found.stat().st_mode & 0o777 == 0o700
    return found


def test_a_record_is_taken_once_its_owner_was_killed(tmp_path: Path, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "written\n"
        assert list(take_abandoned_records("thing")) == []
        assert len(list(folder.iterdir())) == 1
        owner.send_signal(signal.SIGKILL)
    assert list(take_abandoned_records("another kind")) == []
    [facts] = take_abandoned_records("thing")
    assert (facts["kind"], facts["number"]) == ("thing", 2)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("machine", "taken"),
    [
        ({"host": "another", "boot": "another"}, False),
        ({"host": "another"}, False),
        (None, False),
        ({"host": socket.gethostname(), "boot": "before it was started again"}, True),
        ({"host": "another container", "boot": owned_records._machine()["boot"]}, True),
    ],
)
def test_a_record_of_another_machine_stays(folder: Path, machine: dict[str, str] | None, taken: bool) -> None:
    """The lock of its owner may not be seen from here."""
    OwnedRecord("thing", machine=machine).close()
    assert len(list(take_abandoned_records("thing"))) == taken
    assert len(list(folder.iterdir())) == (not taken)


def test_only_one_process_takes_a_record(folder: Path) -> None:
    OwnedRecord("thing").close()
    for _ in take_abandoned_records("thing"):
        assert list(take_abandoned_records("thing")) == []
    assert list(folder.iterdir()) == []


def test_a_record_that_was_removed_is_taken_by_nobody(folder: Path) -> None:
    record = OwnedRecord("thing")
    record.remove()
    assert list(folder.iterdir()) == []
    record.remove()


def test_a_record_cut_off_by_a_full_disk_is_removed(folder: Path) -> None:
    (folder / "cut.json").write_text(json.dumps({"kind": "thing"})[:-4])
    assert list(take_abandoned_records("thing")) == []
    assert list(folder.iterdir()) == []


def test_a_folder_that_others_can_write_to_is_not_used(folder: Path) -> None:
    folder.chmod(0o777)
    assert records_folder() is None
    record = OwnedRecord("thing", number=1)
    record.update(number=2)
    record.remove()
    assert list(take_abandoned_records("thing")) == []
    assert list(folder.iterdir()) == []
