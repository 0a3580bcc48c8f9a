"""Leases: one process works on a store; the next one is refused, or takes over from a dead one."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from s3_server import S3Server

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage import lease, retries
from artifactscan.storage.lease import Lease, LeaseHolder
from artifactscan.storage.process_identity import ProcessIdentity

HOLD = """
import sys, time
from artifactscan.storage import lease
lease.RENEW_S, lease.STALE_S, lease.POLL_S = 0.1, 4.0, 0.1
time.time = lambda: 1e9  # a clock that is wrong by years, and stands
try:
    with lease.Lease(sys.argv[1]) as held:
        print("held", flush=True)
        sys.stdin.read()
        held.check()
        print("still held", flush=True)
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child", "--uts")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "store" / "lease.json")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders are believed dead soon."""
    monkeypatch.setattr(lease, "STALE_S", 2.0)
    monkeypatch.setattr(lease, "POLL_S", 0.1)


def start(uri: str, *prefix: str) -> subprocess.Popen[str]:
    """Another process that takes the lease and holds it until its standard input is closed."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLD, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def held(uri: str, *prefix: str) -> subprocess.Popen[str]:
    process = start(uri, *prefix)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.fixture(scope="module")
def container() -> tuple[str, ...]:
    """What starts a program in namespaces of its own, under a host name that all of them have."""
    if shutil.which("unshare") is None or subprocess.run([*CONTAINER, "true"], capture_output=True).returncode:
        pytest.skip("unshare cannot make namespaces here")
    return (*CONTAINER, "sh", "-c", 'hostname worker && exec "$@"', "sh")


def change(uri: str, **values: object) -> None:
    storage.write_bytes(uri, json.dumps({**json.loads(storage.read_bytes(uri)), **values}).encode())


def leave_behind(uri: str, **values: object) -> None:
    """The lease of a process that was killed; by default one of this machine."""
    with held(uri) as other:
        other.kill()
    change(uri, **values)


def move_elsewhere(uri: str) -> None:
    """Makes the lease say that its holder is a process of another container."""
    process = json.loads(storage.read_bytes(uri))["process"]
    change(uri, host="elsewhere", process={**process, "namespaces": "pid:[1] time:[1]"})


@pytest.fixture(params=["local", "s3"])
def anywhere(request: pytest.FixtureRequest) -> str:
    if request.param == "local":
        return str(request.getfixturevalue("tmp_path") / "store" / "lease.json")
    return request.getfixturevalue("s3").uri("store/lease.json")


def test_the_file_exists_while_the_lease_is_held(uri: str) -> None:
    with Lease(uri) as held:
        held.check()
        assert Path(uri).exists()
        assert held.notes == ()
    assert storage.list_names(str(Path(uri).parent)) == [], "neither the lease nor what it was written with"


def test_a_lease_in_a_bucket(s3: S3Server) -> None:
    uri = s3.uri("store/lease.json")
    with Lease(uri) as taken:
        taken.check()
        with pytest.raises(UsageError, match="is working on this store"), Lease(uri):
            pass
    assert s3.keys() == []
    writes = [request.headers for request in s3.faults.requests if request.method == "PUT"]
    assert all("If-Match" in headers or headers.get("If-None-Match") == "*" for headers in writes)


@pytest.mark.parametrize("recorded", [True, False])
def test_what_the_holder_works_on_is_named(uri: str, recorded: bool) -> None:
    """Which leases of earlier versions do not say: there it is what the asker wants to work on."""
    with Lease(uri, what="evaluation"):
        if not recorded:
            held = json.loads(storage.read_bytes(uri))
            storage.write_bytes(uri, json.dumps({key: held[key] for key in held if key != "what"}).encode())
        named = "evaluation" if recorded else "extraction"
        with pytest.raises(UsageError, match=rf"is working on this {named} \(lease"):
            Lease(uri, what="extraction").__enter__()


def test_folders_that_were_made_for_a_lease_are_removed_where_nothing_was_done(uri: str) -> None:
    top = Path(uri).parent.parent / "new"
    for error, left in {UsageError("wrong"): False, CutOffError("cut off"): True}.items():
        with pytest.raises(type(error)), Lease(str(top / "store" / "lease.json")):
            raise error
        assert top.exists() is left
    with pytest.raises(UsageError), Lease(str(top / "store" / "lease.json")):
        raise UsageError("wrong")
    assert list((top / "store").iterdir()) == [], "it was there before"


def test_of_two_that_take_a_void_lease_where_no_version_is_compared_the_last_gets_it(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.2)
    s3.faults.ignore_conditions("*", "If-Match")
    uri = s3.uri("store/lease.json")
    leave_behind(uri)
    first, last = Lease(uri), Lease(uri)
    void = last._await_free()
    with first:
        assert last._take(void)
        with pytest.raises(CutOffError, match="another process has taken over"):
            first.check()
        last.check()


def test_an_error_of_the_work_is_not_hidden_by_one_of_the_storage(s3: S3Server) -> None:
    with pytest.raises(CutOffError, match="first"), Lease(s3.uri("store/lease.json")):
        s3.faults.status("*", 403)
        raise CutOffError("first")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the failures after which a request is made again; nothing waits."""
    failures: list[int] = []
    monkeypatch.setattr(retries, "wait_s", lambda number, **_: failures.append(number) or 0.0)
    return failures


def test_leaving_does_not_wait_long_for_an_unreachable_storage(
    s3: S3Server, waited: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    uri = s3.uri("store/lease.json")
    with pytest.raises(CutOffError, match="first"), ExitStack() as leaving, Lease(uri):
        s3.go_away()
        leaving.callback(s3.come_back)
        raise CutOffError("first")
    assert waited == list(range(1, lease.EXIT_ATTEMPTS))
    assert caplog.messages[-1].startswith(f"the lease {uri} is left behind, void when this process ends: ")


@pytest.mark.usefixtures("waited")
def test_a_lease_is_removed_though_the_storage_is_busy(s3: S3Server) -> None:
    with Lease(s3.uri("store/lease.json")):
        s3.faults.status("*", 503, times=1)
        s3.faults.status("*", 503, times=1, methods=("DELETE",))
    assert s3.keys() == []


def test_a_lease_that_could_not_be_removed_is_void_in_the_same_process(s3: S3Server) -> None:
    uri = s3.uri("store/lease.json")
    with Lease(uri):
        s3.faults.status("*", 403)
    s3.faults.clear()
    assert s3.keys() == ["store/lease.json"]
    begun = time.monotonic()
    with Lease(uri) as taken:
        taken.check()
        with pytest.raises(UsageError, match=f"process {os.getpid()} on "), Lease(uri):
            pass
    assert time.monotonic() - begun < lease.STALE_S


@pytest.fixture
def short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are renewed all the time, and soon stale."""
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    monkeypatch.setattr(lease, "STALE_S", 0.2)


@pytest.mark.usefixtures("short_lived")
def test_a_lease_outlasts_a_storage_that_is_away_for_long(s3: S3Server) -> None:
    with Lease(s3.uri("store/lease.json")) as held:
        s3.go_away()
        time.sleep(3 * lease.STALE_S)
        s3.come_back()
        held.check()
        assert held._renewer.is_alive()


@pytest.mark.usefixtures("short_lived")
def test_a_lease_outlasts_a_renewal_that_takes_long(s3: S3Server) -> None:
    with Lease(s3.uri("store/lease.json")) as held:
        s3.faults.delay("*", 3 * lease.STALE_S, times=1)
        time.sleep(4 * lease.STALE_S)
        held.check()
        assert held._renewer.is_alive()


def test_without_conditional_writes_a_lease_that_was_not_renewed_is_lost(
    unconditional: str, s3: S3Server, waited: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the renewing wait in there, whose lease would be void when it is renewed at last."""
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    with pytest.raises(CutOffError, match="first"), ExitStack() as leaving, Lease(unconditional) as held:
        monkeypatch.setattr(lease, "STALE_S", 0.2)
        s3.go_away()
        leaving.callback(s3.come_back)
        held._renewer.join(60)
        assert not held._renewer.is_alive(), "it has given the lease up"
        with pytest.raises(CutOffError, match="another process has taken over"):
            held.check()
        raise CutOffError("first")
    assert waited == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("place", ["broken link", "storage"])
def test_a_lease_that_is_not_there_and_cannot_be_made_is_an_error(
    place: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    uri = str(tmp_path / "lease.json") if place == "broken link" else s3.uri("lease.json")
    Path(tmp_path, "lease.json").symlink_to("nowhere")
    s3.faults.status("*", 412, methods=("PUT",))
    with pytest.raises(UsageError, match=f"the lease {uri} contradicts itself: 5 times it was free when"), Lease(uri):
        pass
    assert waits.count(lease.POLL_S) == lease.TAKE_TRIES


def test_a_lease_held_by_another_process_is_refused_at_once(uri: str) -> None:
    with held(uri) as other:
        begun = time.monotonic()
        with pytest.raises(UsageError) as raised, Lease(uri):
            pass
        assert time.monotonic() - begun < lease.RENEW_S
        assert str(raised.value).startswith(f"process {other.pid} on ")
        assert f"(lease {uri}, taken at " in str(raised.value)
        assert other.communicate()[0] == "still held\n"
    with Lease(uri):
        pass


def test_the_lease_of_a_killed_process_of_this_container_is_void_at_once(uri: str) -> None:
    leave_behind(uri)
    begun = time.monotonic()
    with Lease(uri) as taken:
        taken.check()
    assert time.monotonic() - begun < lease.POLL_S


def test_the_lease_of_a_killed_process_that_nobody_has_waited_for_is_void_too(uri: str) -> None:
    """As in a container whose first process does not wait for orphans."""
    with held(uri) as zombie:
        os.kill(zombie.pid, 9)
        end = time.monotonic() + 20
        while Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end
            time.sleep(0.01)
        with Lease(uri):
            pass


def test_the_lease_of_a_process_whose_pid_was_reused_is_void(uri: str) -> None:
    this = ProcessIdentity.of_this_process()
    earlier = replace(this, started_ticks=this.started_ticks - 1)
    storage.write_bytes(uri, LeaseHolder(token="a", host="b", process=earlier, since="").encode())
    with Lease(uri) as taken:
        taken.check()


@pytest.mark.usefixtures("quick")
def test_a_holder_elsewhere_that_shows_no_sign_of_life_is_taken_over(
    anywhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Lease(anywhere):
        content = json.loads(storage.read_bytes(anywhere))
    storage.write_bytes(anywhere, json.dumps({**content, "host": "elsewhere"}).encode())
    move_elsewhere(anywhere)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING), Lease(anywhere) as taken:
        taken.check()
        assert time.monotonic() - begun >= lease.STALE_S
    asked, taken_over = (record.getMessage() for record in caplog.records)
    assert "on elsewhere may be working on this store" in asked
    assert asked.endswith("waiting up to 2 s for a sign of life")
    assert taken_over.endswith("on elsewhere gave no sign of life for 2 s; its lease is taken over")


@pytest.mark.usefixtures("quick")
def test_a_holder_elsewhere_is_not_taken_over_while_it_renews(anywhere: str) -> None:
    """Whatever its clock says, which is years behind and stands."""
    leave_behind(anywhere)
    move_elsewhere(anywhere)
    renewal = threading.Timer(1.0, lambda: change(anywhere, renewals=99))
    renewal.start()
    with pytest.raises(UsageError, match=r"on elsewhere is working on this store .*taken at 2"), Lease(anywhere):
        pass
    renewal.join()


@pytest.mark.usefixtures("quick")
def test_a_lease_that_is_given_up_while_it_is_watched_is_free(uri: str) -> None:
    leave_behind(uri)
    move_elsewhere(uri)
    threading.Timer(0.3, lambda: storage.remove_tree(uri)).start()
    begun = time.monotonic()
    with Lease(uri):
        assert time.monotonic() - begun < lease.STALE_S


@pytest.mark.usefixtures("quick")
def test_the_lease_of_an_earlier_version_is_watched(uri: str) -> None:
    old = {"token": "a", "host": "worker", "pid": os.getpid(), "started_s": 1.0, "renewed_s": time.time() - 3600}
    storage.write_bytes(uri, json.dumps(old).encode())
    begun = time.monotonic()
    with Lease(uri):
        assert time.monotonic() - begun >= lease.STALE_S


def test_two_containers_with_one_host_name_do_not_take_each_others_store(
    anywhere: str, container: tuple[str, ...]
) -> None:
    with held(anywhere, *container) as first:
        holder = LeaseHolder.decode(storage.read_bytes(anywhere))
        assert holder is not None and holder.host == "worker"
        with start(anywhere, *container) as second:
            said = second.communicate()[0]
        assert said.startswith(
            f"UsageError a process in another container (process {holder.process.pid} there) on worker is working on "
            "this store"
        )
        assert first.communicate()[0] == "still held\n"


def test_the_lease_of_a_container_that_was_killed_is_taken_over(anywhere: str, container: tuple[str, ...]) -> None:
    with held(anywhere, *container) as first:
        first.kill()
    begun = time.monotonic()
    with held(anywhere, *container) as second:
        assert time.monotonic() - begun > 4
        second.communicate()


@pytest.mark.usefixtures("quick")
def test_of_many_that_take_a_void_lease_one_gets_it(uri: str) -> None:
    for leave in (lambda: None, lambda: leave_behind(uri)):
        leave()
        begin, got, refused = threading.Barrier(8), [], []

        def take(begin: threading.Barrier = begin, got: list[Lease] = got, refused: list[str] = refused) -> None:
            begin.wait()
            try:
                got.append(Lease(uri).__enter__())
            except UsageError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 7)
        got[0].check()
        got[0].__exit__(None, None, None)


@pytest.mark.usefixtures("quick")
def test_who_is_late_to_take_a_void_lease_does_not_get_it(anywhere: str) -> None:
    storage.write_bytes(anywhere, b"left behind")
    early, late = Lease(anywhere), Lease(anywhere)
    void = late._await_free()
    with early:
        assert not late._take(void)
        early.check()


@pytest.fixture(params=["ignored", "If-Match ignored", "refused"])
def unconditional(request: pytest.FixtureRequest, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lease in a storage without conditional writes."""
    monkeypatch.setattr(lease, "SETTLE_S", 0.2)
    if request.param == "refused":
        s3.faults.refuse_conditions("*")
    else:
        s3.faults.ignore_conditions("*", *(["If-Match"] if request.param == "If-Match ignored" else []))
    return s3.uri("store/lease.json")


def test_a_storage_without_conditional_writes_is_said_and_the_last_writer_wins(
    unconditional: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Lease(unconditional) as taken:
        taken.check()
        assert [record.getMessage() for record in caplog.records] == list(taken.notes)
        assert "has no conditional writes" in taken.notes[0]
        with pytest.raises(UsageError, match="is working on this store"), Lease(unconditional):
            pass
        change(unconditional, token="another's")
        with pytest.raises(CutOffError, match="another process has taken over"):
            taken.check()


def test_a_storage_with_weak_etags_has_no_conditional_writes(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.2)
    s3.faults.weaken("*", compares=False)
    with Lease(s3.uri("store/lease.json")) as taken:
        taken.check()
        assert taken.notes
    assert s3.keys() == []


def test_a_renewal_whose_answer_was_lost_counts(s3: S3Server) -> None:
    lose_the_answer_of_a_renewal(s3.uri("store/lease.json"))


def test_a_renewal_whose_answer_was_lost_counts_without_conditional_writes_too(unconditional: str) -> None:
    lose_the_answer_of_a_renewal(unconditional)


def lose_the_answer_of_a_renewal(uri: str) -> None:
    with Lease(uri) as taken:
        change(uri, renewals=7)  # what this process wrote, as far as its token tells
        taken.check()
        taken.check()


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"token": 1}', b"[]", b"null"])
def test_a_lease_that_cannot_be_read_is_watched_and_taken_over(
    uri: str, content: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "STALE_S", 0.4)
    monkeypatch.setattr(lease, "POLL_S", 0.1)
    storage.write_bytes(uri, content)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING), Lease(uri) as taken:
        assert time.monotonic() - begun >= lease.STALE_S
        taken.check()
    assert caplog.messages[0].startswith("a process whose lease cannot be read may be working on this store")


@pytest.mark.usefixtures("quick")
def test_a_lease_that_is_half_written_is_not_free(uri: str) -> None:
    """As between opening and writing the file where a file system has no hard links."""
    storage.write_bytes(uri, b"")
    holder = LeaseHolder(token="a", host="elsewhere", process=ProcessIdentity(pid=1), since="now")
    written = threading.Timer(0.3, lambda: storage.write_bytes(uri, holder.encode()))
    written.start()
    with pytest.raises(UsageError, match="process 1 on elsewhere is working on this store"), Lease(uri):
        pass
    written.join()


def test_a_lease_of_a_later_version_is_read(uri: str) -> None:
    with held(uri) as other:
        values = json.loads(storage.read_bytes(uri))
        change(uri, new="field", process={**values["process"], "new": "field"})
        with pytest.raises(UsageError, match=f"process {other.pid} on "), Lease(uri):
            pass
        other.kill()


def test_a_lease_is_renewed(anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    with Lease(anywhere):
        first = json.loads(storage.read_bytes(anywhere))
        end = time.monotonic() + 20
        while json.loads(storage.read_bytes(anywhere)) == first and time.monotonic() < end:
            time.sleep(0.01)
        assert json.loads(storage.read_bytes(anywhere))["renewals"] > first["renewals"]


def test_a_holder_that_was_taken_over_gets_an_error_and_keeps_the_new_lease(anywhere: str) -> None:
    with Lease(anywhere) as lost:
        change(anywhere, token="another's")
        with pytest.raises(CutOffError, match="another process has taken over the lease"):
            lost.check()
    assert json.loads(storage.read_bytes(anywhere))["token"] == "another's"


def test_who_stood_still_sees_before_the_next_part_that_another_process_took_over(
    anywhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(anywhere) as lost:
        change(anywhere, token="another's")
        lost.check_if_due()  # was renewed just now
        monkeypatch.setattr(lease, "RENEW_S", 0.0)
        with pytest.raises(CutOffError, match="another process has taken over the lease"):
            lost.check_if_due()
        monkeypatch.setattr(lease, "RENEW_S", 15.0)
        with pytest.raises(CutOffError, match="another process has taken over the lease"):
            lost.check_if_due()


@pytest.fixture
def locked(uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lock file that a process left when it was killed between reading and replacing the lease."""
    from artifactscan.storage import compare_and_swap

    monkeypatch.setattr(compare_and_swap, "LOCK_STALE_S", 0.5)
    lock = Path(uri).with_name(".lease.json.lock")
    lock.parent.mkdir()
    lock.write_bytes(b"left behind")
    yield lock
    assert storage.list_names(str(lock.parent)) == []


def test_a_lock_file_that_was_left_behind_delays_and_is_removed(locked: Path, uri: str) -> None:
    begun = time.monotonic()
    with Lease(uri) as taken:
        taken.check()
    assert not locked.exists()
    assert time.monotonic() - begun >= 0.5
