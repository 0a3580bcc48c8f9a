"""Fetching objects: local files, S3, and every network fault that object storage is known for."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from limits import files_of_at_most, without_privileges
from s3_server import S3Server

from artifactscan import storage
from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.outcomes import Outcome
from artifactscan.storage.fetch import FetchError, fetch
from artifactscan.storage.retries import RetryLimits

BIG = 1 << 40
QUICK = RetryLimits(attempts=4, first_wait_s=0.01, longest_wait_s=0.02)
DATA = random.Random(0).randbytes(3_000_000)


def get(uri: str, etag: str | None, size: int | None = None, *, folder: Path, max_bytes: int = BIG) -> bytes:
    """Fetches, checks that nothing is left behind, and returns the content."""
    with fetch(uri, etag, size, max_bytes=max_bytes, folder=str(folder), retries=QUICK) as fetched:
        data = Path(fetched.path).read_bytes()
        assert fetched.size_bytes == len(data)
        assert fetched.fetch_s > 0
        assert fetched.still_same()
    return data


def refusal(uri: str, etag: str | None, size: int | None = None, *, folder: Path, max_bytes: int = BIG) -> FetchError:
    with pytest.raises(FetchError) as raised:
        fetch(uri, etag, size, max_bytes=max_bytes, folder=str(folder), retries=QUICK)
    assert "\n" not in raised.value.reason
    assert not any(folder.iterdir())
    return raised.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def local(tmp_path: Path) -> str:
    path = tmp_path / "-a b%2F#?\n'ü.mp4"
    path.write_bytes(DATA)
    return str(path)


def test_a_local_file_is_read_in_place_and_checked_for_changes(local, folder):
    etag = storage.stat(local).etag
    with fetch(local, etag, len(DATA), max_bytes=BIG) as fetched:
        assert fetched.path == local
        assert fetched.still_same()
        with Path(local).open("ab") as file:
            file.write(b"more")
        assert not fetched.still_same()
    assert Path(local).exists()
    error = refusal(local, etag, len(DATA), folder=folder)
    assert (error.outcome, error.reason) == (Outcome.CHANGED, "the file was written to since it was listed")


def test_a_local_file_that_was_removed_is_unreadable(local, folder):
    with fetch(local, storage.stat(local).etag, None, max_bytes=BIG) as fetched:
        Path(local).unlink()
        assert not fetched.still_same()
    error = refusal(local, "1-1", folder=folder)
    assert (error.outcome, error.reason) == (Outcome.UNREADABLE, "gone since it was listed")


def test_a_local_file_without_permission_is_unreadable(folder):
    with without_privileges() as place:
        file = place / "a.mp4"
        file.write_bytes(b"x")
        etag = storage.stat(str(file)).etag
        file.chmod(0)
        with pytest.raises(FetchError, match=r"^Permission denied$") as raised:
            fetch(str(file), etag, 1, max_bytes=BIG)
        assert raised.value.outcome == Outcome.UNREADABLE


def test_a_pipe_does_not_hang(tmp_path, folder):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(str(tmp_path / "pipe.mp4"), None, folder=folder).reason == "not a regular file"
    assert refusal(str(tmp_path / "pipe.mp4"), "1-1", folder=folder).reason == "not a regular file"


def test_a_row_of_a_manifest_for_which_there_is_no_file_was_never_there(tmp_path, folder):
    (tmp_path / "list.csv").write_text("uri\nclips/a.mp4\n")
    [batch] = list_corpus(str(tmp_path / "list.csv"), ListSettings())
    [row] = batch.to_pylist()
    assert (row["uri"], row["etag"]) == (str(tmp_path / "clips" / "a.mp4"), None)
    error = refusal(row["uri"], row["etag"], folder=folder)
    assert error.outcome == Outcome.UNREADABLE
    assert error.reason == "no such file; a relative uri in a manifest is resolved beside the manifest"


def test_rows_without_etag_say_why(tmp_path, folder, local, s3: S3Server):
    (tmp_path / "broken").symlink_to("nowhere")
    s3.faults.status("denied", 403)
    beside = "; a relative uri in a manifest is resolved beside the manifest"
    reasons = {
        str(tmp_path / "broken"): "a link to nowhere, which is not there",
        str(tmp_path / "missing"): f"no such file{beside}",
        f"{tmp_path}/\\xff.mp4": "a name that is not UTF-8 cannot be opened; rename the file",
        s3.uri("missing"): f"no such object{beside}",
        s3.uri("denied"): "access denied (403)",
        "http://host/a.mp4": "http://host/a.mp4 is not understood; "
        "give a local path, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
        local: "it could not be read when the corpus was listed; the next run tries again",
    }
    for uri, reason in reasons.items():
        error = refusal(uri, None, folder=folder)
        assert (error.outcome, error.reason) == (Outcome.UNREADABLE, reason)


def test_sizes_over_the_limit(s3: S3Server, folder, local):
    etag = s3.put("a.mp4", b"x" * 100)
    for uri, tag, size in (
        (s3.uri("a.mp4"), etag, 100),
        (s3.uri("a.mp4"), etag, None),
        (local, storage.stat(local).etag, None),
    ):
        error = refusal(uri, tag, size, folder=folder, max_bytes=99)
        assert error.outcome == Outcome.TOO_LARGE
        assert "--max-object-bytes 99" in error.reason
    assert get(s3.uri("a.mp4"), etag, 100, folder=folder, max_bytes=100) == b"x" * 100


@pytest.mark.parametrize("key", ["dir/a.mp4", "a b+c%2F#?'\"-ü.mp4", "/lead//double.mp4", "-x", "a.mp4/"])
def test_an_object_is_copied_and_removed(s3: S3Server, folder, key):
    etag = s3.put(key, DATA)
    assert get(f"s3://{s3.bucket}/{key}", etag, len(DATA), folder=folder) == DATA
    assert not any(folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
def test_a_child_can_read_the_copy_which_has_no_name(s3: S3Server, folder):
    etag = s3.put("a.webm", DATA)
    with fetch(s3.uri("a.webm"), etag, len(DATA), max_bytes=BIG, folder=str(folder)) as fetched:
        assert not any(folder.iterdir())
        assert subprocess.run(["cat", fetched.path], capture_output=True, check=True).stdout == DATA
    assert not Path(fetched.path).exists()


def test_an_empty_object_is_fetched(s3: S3Server, folder):
    etag = s3.put("a.mp4", b"")
    assert get(s3.uri("a.mp4"), etag, 0, folder=folder) == b""


def test_an_object_replaced_after_listing_is_changed(s3: S3Server, folder):
    etag = s3.put("a.mp4", b"first")
    s3.put("a.mp4", b"other")
    error = refusal(s3.uri("a.mp4"), etag, 5, folder=folder)
    assert (error.outcome, error.reason) == (Outcome.CHANGED, "the object was replaced since it was listed")


def test_a_storage_that_says_412_to_whatever_is_asked_has_another_version(s3: S3Server, folder):
    etag = s3.put("a.mp4", b"video")
    s3.faults.status("a.mp4", 412, methods=("GET",))
    assert refusal(s3.uri("a.mp4"), etag, folder=folder).outcome is Outcome.CHANGED


def test_an_object_of_another_size_than_listed_is_changed(s3: S3Server, folder):
    etag = s3.put("a.mp4", b"12345")
    error = refusal(s3.uri("a.mp4"), etag, 6, folder=folder)
    assert (error.outcome, error.reason) == (Outcome.CHANGED, "it has 5 bytes now, 6 were listed")


def test_gone_and_denied_are_not_retried(s3: S3Server, folder):
    s3.faults.status("denied", 403)
    assert refusal(s3.uri("gone"), "e", folder=folder).reason == "gone since it was listed"
    assert refusal(s3.uri("denied"), "e", folder=folder).reason == "access denied (AccessDenied)"
    assert len(s3.faults.requests) == 2


def test_throttled_requests_are_retried(s3: S3Server, folder):
    etag = s3.put("a.mp4", DATA)
    s3.faults.status("a.mp4", 503, times=2)
    s3.faults.status("a.mp4", 500, times=1)
    assert get(s3.uri("a.mp4"), etag, len(DATA), folder=folder) == DATA
    assert len(s3.faults.requests) == 4


def test_throttling_ends_after_all_attempts(s3: S3Server, folder):
    s3.faults.status("a.mp4", 503)
    error = refusal(s3.uri("a.mp4"), "e", folder=folder)
    assert error.outcome == Outcome.UNREADABLE
    assert error.reason.startswith("the storage answered 503 (SlowDown: injected); given up after 4 tries in a row")
    assert len(s3.faults.requests) == QUICK.attempts


def test_all_waits_together_are_bounded(s3: S3Server, folder):
    s3.faults.status("a.mp4", 503)
    limits = RetryLimits(attempts=100, first_wait_s=0.1, longest_wait_s=0.1, total_wait_s=0.25)
    with pytest.raises(FetchError, match="given up"):
        fetch(s3.uri("a.mp4"), "e", None, max_bytes=BIG, folder=str(folder), retries=limits)
    assert 3 <= len(s3.faults.requests) <= 6


def test_a_cut_body_is_resumed_where_it_stopped(s3: S3Server, folder):
    etag = s3.put("a.mp4", DATA)
    s3.faults.cut("a.mp4", after_bytes=700_000, times=3)  # more cuts than tries in vain are allowed, with progress
    assert get(s3.uri("a.mp4"), etag, len(DATA), folder=folder) == DATA
    ranges = [request.headers.get("Range") for request in s3.faults.requests]
    assert ranges[0] is None
    starts = [int((text or "bytes=0-").removeprefix("bytes=").rstrip("-")) for text in ranges]
    assert starts == sorted(set(starts))
    assert starts[-1] > 1_000_000
    assert all(request.headers["If-Match"] == f'"{etag}"' for request in s3.faults.requests)


def test_a_body_that_always_breaks_off_is_unreadable(s3: S3Server, folder):
    etag = s3.put("a.mp4", DATA)
    s3.faults.cut("a.mp4", after_bytes=0, times=-1)
    reason = refusal(s3.uri("a.mp4"), etag, len(DATA), folder=folder).reason
    assert reason.startswith("the connection broke off after 0 of 3000000 bytes")
    assert len(s3.faults.requests) == QUICK.attempts


def test_an_object_replaced_while_it_is_fetched_is_changed(s3: S3Server, folder):
    etag = s3.put("a.mp4", DATA)
    s3.faults.cut("a.mp4", after_bytes=1_500_000)
    s3.faults.delay("a.mp4", 0.5)

    def replace() -> None:
        while len(s3.faults.requests) < 2:
            time.sleep(0.01)
        s3.put("a.mp4", DATA[::-1])

    thread = threading.Thread(target=replace)
    thread.start()
    error = refusal(s3.uri("a.mp4"), etag, len(DATA), folder=folder)
    thread.join()
    assert error.outcome == Outcome.CHANGED


def test_a_full_disk_raises_oserror(s3: S3Server, folder):
    etag = s3.put("a.mp4", DATA)
    with files_of_at_most(100_000), pytest.raises(OSError, match="File too large"):
        fetch(s3.uri("a.mp4"), etag, len(DATA), max_bytes=BIG, folder=str(folder))
    assert not any(folder.iterdir())
