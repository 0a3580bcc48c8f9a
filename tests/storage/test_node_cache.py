"""One copy of an object for all processes of a node, which close it, die, or fail while they make it."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from isolated import SETTINGS
from media import write_clip
from s3_server import S3Server

from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.storage.fetch import Fetched, FetchError, fetch
from artifactscan.storage.node_cache import SLOTS, shared_copy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are shared on Linux only")

HOLDER = """
import sys, tempfile
from artifactscan.storage.node_cache import shared_copy
def make():
    file = tempfile.TemporaryFile("w+b")
    file.write(sys.argv[2].encode())
    return file
copy, own = shared_copy(sys.argv[1], make)
print(own, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of other processes
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def notes(scratch: Path) -> Path:
    return scratch / f"artifactscan-copies-{os.getuid()}"


def file_with(data: bytes) -> Callable[[], IO[bytes]]:
    def make() -> IO[bytes]:
        file = tempfile.TemporaryFile("w+b")  # noqa: SIM115
        file.write(data)
        return file

    return make


def locks_waited_for(scratch: Path) -> int:
    [note] = notes(scratch).iterdir()
    lines = Path("/proc/locks").read_text().splitlines()
    return sum(" -> FLOCK" in line and f":{note.stat().st_ino} " in line for line in lines)


def never() -> IO[bytes]:
    raise AssertionError("the copy that is here was to be used")


def content(copy: IO[bytes]) -> bytes:
    copy.seek(0)
    return copy.read()


@contextmanager
def other_process(key: str, data: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has made a copy and keeps it."""
    command = [sys.executable, "-c", HOLDER, key, data]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_copy_outlives_the_process_that_made_it() -> None:
    with other_process("film", "frames") as process:
        second, own = shared_copy("film", never)
        assert not own
    assert process.returncode == -signal.SIGKILL
    third, own = shared_copy("film", never)  # of the second's, as the first is gone
    assert not own
    second.close()
    assert content(third) == b"frames"
    third.close()


def test_the_copy_of_a_process_that_has_ended_is_made_again() -> None:
    with other_process("film", "frames"):
        pass
    copy, own = shared_copy("film", file_with(b"made anew"))
    assert own
    assert content(copy) == b"made anew"


def test_any_process_that_has_a_copy_can_share_it(scratch: Path) -> None:
    copies = [shared_copy("film", file_with(b"frames"))[0] for _ in range(3)]
    for kept in range(3):
        for number, copy in enumerate(copies):
            if number != kept:
                copy.close()
        copy, own = shared_copy("film", never)
        assert not own
        copies = [shared_copy("film", never)[0] for _ in range(3)]
        copy.close()


def test_another_object_has_another_copy() -> None:
    one, _ = shared_copy("one", file_with(b"1"))
    other, own = shared_copy("other", file_with(b"2"))
    assert own
    assert (content(one), content(other)) == (b"1", b"2")


def test_another_file_on_a_reused_descriptor_is_not_used() -> None:
    first, _ = shared_copy("film", file_with(b"right"))
    number = first.fileno()
    first.close()
    stranger = file_with(b"wrong")()
    stranger.flush()
    os.dup2(stranger.fileno(), number)
    copy, own = shared_copy("film", file_with(b"right"))
    os.close(number)
    assert own
    assert content(copy) == b"right"


def test_other_processes_wait_while_one_makes_the_copy() -> None:
    may_go_on, made, got = threading.Event(), [], []

    def make() -> IO[bytes]:
        made.append(threading.get_ident())
        assert may_go_on.wait(30)
        return file_with(b"frames")()

    threads = [threading.Thread(target=lambda: got.append(shared_copy("film", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        if made:
            break
        time.sleep(0.01)
    may_go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert sorted(own for _, own in got) == [False] * 7 + [True]
    assert {content(copy) for copy, own in got if not own} == {b"frames"}


def test_after_one_fails_the_others_try_at_the_same_time(scratch: Path) -> None:
    """A storage that does not answer is waited for twice at most, however many slices want the object."""
    holding, together = threading.Event(), threading.Barrier(4, timeout=30)
    failures: list[str] = []

    def fail_first() -> IO[bytes]:
        holding.set()
        for _ in range(3000):
            if locks_waited_for(scratch) == 4:
                break
            time.sleep(0.01)
        raise OSError("first")

    def fail_together() -> IO[bytes]:
        together.wait()  # broken, were they let in one after the other
        raise OSError("later")

    def run(make: Callable[[], IO[bytes]]) -> None:
        try:
            shared_copy("film", make)
        except OSError as error:
            failures.append(str(error))

    waiting = [threading.Thread(target=run, args=(fail_together,)) for _ in range(4)]
    first = threading.Thread(target=run, args=(fail_first,))
    first.start()
    assert holding.wait(30)
    for thread in waiting:
        thread.start()
    for thread in [first, *waiting]:
        thread.join(60)
    assert sorted(failures) == ["first"] + ["later"] * 4


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}', "\0\0"])
def test_a_damaged_note_is_ignored(scratch: Path, damage: str) -> None:
    first, _ = shared_copy("film", file_with(b"1"))
    [note] = notes(scratch).iterdir()
    note.write_text(damage)
    copy, own = shared_copy("film", file_with(b"2"))
    assert own
    assert content(copy) == b"2"
    assert shared_copy("film", never)[1] is False
    first.close()


def test_a_folder_that_others_can_write_to_is_not_used(scratch: Path) -> None:
    notes(scratch).mkdir(mode=0o777)
    notes(scratch).chmod(0o777)
    for data in (b"1", b"2"):
        copy, own = shared_copy("film", file_with(data))
        assert own
        assert content(copy) == data
    assert not any(notes(scratch).iterdir())


def test_a_pipe_on_a_reused_descriptor_does_not_block(scratch: Path) -> None:
    first, _ = shared_copy("film", file_with(b"1"))
    number = first.fileno()
    first.close()
    os.mkfifo(scratch / "pipe")
    pipe = os.open(scratch / "pipe", os.O_RDWR)
    os.dup2(pipe, number)
    copy, own = shared_copy("film", file_with(b"2"))
    for descriptor in (pipe, number):
        os.close(descriptor)
    assert own
    assert content(copy) == b"2"


@pytest.mark.parametrize("what", ["flock", "write"])
def test_copies_are_not_shared_where_locks_or_notes_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "no")

    # Another test may have had its logs written elsewhere, and nowhere above.
    monkeypatch.setattr(logging.getLogger("artifactscan"), "handlers", [caplog.handler])
    if what == "flock":
        monkeypatch.setattr("artifactscan.storage.node_cache.fcntl.flock", refuse)
    else:
        monkeypatch.setattr("artifactscan.storage.node_cache.json.dump", refuse)
    for data in (b"1", b"2"):
        copy, own = shared_copy("film", file_with(data))
        assert own
        assert content(copy) == data
    assert "shared" in caplog.text


def test_the_number_of_notes_is_bounded(scratch: Path) -> None:
    for number in range(2 * SLOTS):
        shared_copy(str(number), file_with(b""))[0].close()
    assert SLOTS / 2 < len(list(notes(scratch).iterdir())) <= SLOTS


def test_a_copy_is_removed_before_the_next_object_is_fetched(s3: S3Server, scratch: Path) -> None:
    """The copy that was kept is gone before another one comes."""
    clip = write_clip(scratch / "film.mp4", seconds=4, options={"g": "12"})
    rows = []
    for name in ("a", "b"):
        etag = s3.put(f"{name}.mp4", clip.read_bytes())
        listed = {"uri": s3.uri(f"{name}.mp4"), "etag": etag, "size_bytes": clip.stat().st_size}
        rows.append(listed | {"slice": 0, "slices": 2})
    copies = []

    def count(*arguments: object, **more: Any) -> Fetched | FetchError:
        links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()]
        copies.append(sum(link.startswith(f"{scratch}/#") for link in links))
        return fetch(*arguments, **more)  # type: ignore[arg-type]

    with SandboxedDecoder(SETTINGS) as child, pytest.MonkeyPatch.context() as patch:
        patch.setattr("artifactscan.decode.reader.fetch", count)
        reader = VideoReader(child, max_object_bytes=1 << 20)
        for row in (rows[0], rows[0] | {"slice": 1}, rows[1]):
            list(reader.read([row]))
    assert copies == [0, 1, 0]


def test_slices_of_an_object_are_fetched_once(s3: S3Server, scratch: Path) -> None:
    clip = write_clip(scratch / "film.mp4", seconds=8, options={"g": "12"})
    etag = s3.put("film.mp4", clip.read_bytes())
    listed = {"uri": s3.uri("film.mp4"), "etag": etag, "size_bytes": clip.stat().st_size}
    rows = [listed | {"slice": number, "slices": 5} for number in range(4)]
    s3.faults.clear()
    frames, fetched = [], 0
    with SandboxedDecoder(SETTINGS) as one, SandboxedDecoder(SETTINGS) as other:
        readers = [VideoReader(child, max_object_bytes=1 << 20) for child in (one, other)]
        reading = [readers[0].read(rows[:2]), readers[1].read(rows[2:])]
        segments = [next(reading[0]), next(reading[1])]  # both are at work
        for rest in reading:
            segments += rest
        segments += readers[0].read([listed | {"slice": 4, "slices": 5}])  # later, by itself: of a copy that was kept
        for _, segment in segments:
            frames += segment.frame_index
        fetched = sum(reader.take_counts().fetched_bytes for reader in readers)
    assert sorted(frames) == list(range(0, 192, 12))
    assert fetched == clip.stat().st_size
    assert [request.method for request in s3.faults.requests] == ["GET"]
