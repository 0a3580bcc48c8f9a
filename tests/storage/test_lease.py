"""Leases: one process works on a store; the next one is refused, or takes over from a dead one."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from s3_server import S3Server

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage import lease, retries
from artifactscan.storage.lease import STALE_S, Lease

HOLD = """
import sys
from artifactscan.storage.lease import Lease
with Lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "store" / "lease.json")


def held(uri: str) -> subprocess.Popen:
    """Another process that holds the lease until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def change(uri: str, **values: object) -> None:
    storage.write_bytes(uri, json.dumps({**json.loads(storage.read_bytes(uri)), **values}).encode())


def test_the_file_exists_while_the_lease_is_held(uri: str) -> None:
    with Lease(uri) as held:
        held.check()
        assert Path(uri).exists()
    assert not Path(uri).exists()


def test_a_lease_in_a_bucket(s3: S3Server) -> None:
    uri = s3.uri("store/lease.json")
    with Lease(uri), pytest.raises(UsageError, match="is working on this store"), Lease(uri):
        pass
    assert s3.keys() == []


def test_an_error_of_the_work_is_not_hidden_by_one_of_the_storage(s3: S3Server) -> None:
    with pytest.raises(CutOffError, match="first"), Lease(s3.uri("store/lease.json")):
        s3.faults.status("*", 403)
        raise CutOffError("first")


def test_leaving_does_not_wait_for_an_unreachable_storage(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the renewing wait in there, whose lease would be void when it is renewed at last."""
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    monkeypatch.setattr(lease, "STALE_S", 0.2)
    waited: list[int] = []
    with pytest.raises(CutOffError, match="first"), ExitStack() as leaving, Lease(s3.uri("store/lease.json")) as held:
        monkeypatch.setattr(retries, "wait_s", lambda failures, **_: waited.append(failures) or 0.0)
        s3.go_away()
        leaving.callback(s3.come_back)
        held._renewer.join(60)
        assert not held._renewer.is_alive(), "it has given the lease up"
        with pytest.raises(CutOffError, match="another process has taken over"):
            held.check()
        raise CutOffError("first")
    assert waited == []


def test_a_lease_held_by_another_process_is_refused(uri: str) -> None:
    with held(uri) as other:
        with pytest.raises(UsageError) as raised, Lease(uri):
            pass
        assert str(raised.value).startswith(f"process {other.pid} on ")
        assert f"(lease {uri}, renewed " in str(raised.value)
        other.communicate()
    with Lease(uri):
        pass


def test_the_lease_of_a_killed_process_on_this_machine_is_void(uri: str) -> None:
    with held(uri) as other:
        other.kill()
    assert Path(uri).exists()
    with Lease(uri) as taken:
        taken.check()


def test_the_lease_of_a_process_whose_pid_was_reused_is_void(uri: str) -> None:
    with held(uri) as other:
        change(uri, started_s=1.0)
        with Lease(uri):
            pass
        other.communicate()


def test_the_lease_of_another_machine_holds_until_it_is_stale(uri: str) -> None:
    with held(uri) as other:
        other.kill()
    change(uri, host="elsewhere")
    with pytest.raises(UsageError, match="on elsewhere"), Lease(uri):
        pass
    change(uri, renewed_s=time.time() - STALE_S - 1)
    with Lease(uri):
        pass


def test_an_invalid_lease_file_is_ignored(uri: str) -> None:
    for content in (b"", b"{}", b"not json", b'{"token": 1}', b"[]"):
        storage.write_bytes(uri, content)
        with Lease(uri):
            pass


def test_a_lease_is_renewed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    with Lease(uri):
        first = json.loads(storage.read_bytes(uri))
        end = time.monotonic() + 20
        while json.loads(storage.read_bytes(uri)) == first and time.monotonic() < end:
            time.sleep(0.01)
        assert json.loads(storage.read_bytes(uri))["renewed_s"] > first["renewed_s"]


def test_a_holder_that_was_taken_over_gets_an_error_and_keeps_the_new_lease(uri: str) -> None:
    with Lease(uri) as lost:
        change(uri, token="another's")
        with pytest.raises(CutOffError, match="another process has taken over the lease"):
            lost.check()
    assert json.loads(storage.read_bytes(uri))["token"] == "another's"
