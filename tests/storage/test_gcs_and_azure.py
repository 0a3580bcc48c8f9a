"""Google Cloud Storage and Azure Blob Storage, through real emulators on loopback."""

import itertools
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from emulators import Emulator, start_azure, start_gcs
from pyarrow import fs

from artifactscan import storage
from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.errors import UsageError
from artifactscan.outcomes import Outcome
from artifactscan.storage import arrow_files, azure, gcs, lease, object_storage, ranged_body, retries
from artifactscan.storage.fetch import FetchError, fetch
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import read_table, write_table
from artifactscan.storage.retries import RetryLimits

TABLE = pa.table({"x": [1, 2, 3]})
_numbers = itertools.count()


@pytest.fixture(scope="module", params=[start_gcs, start_azure], ids=["gs", "az"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    started = request.param()
    if started is None:
        pytest.skip(f"the emulator of {request.param.__name__} is not installed")
    yield started
    started.close()


@pytest.fixture
def root(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    forget()
    bucket = f"bucket-{next(_numbers)}"
    if emulator.scheme == "gs":
        gcs._client().create_bucket(bucket)
    else:
        azure._service().create_container(bucket)
    yield f"{emulator.scheme}://{bucket}"
    forget()


def forget() -> None:
    gcs._client.cache_clear()
    azure._service.cache_clear()


def put(uri: str, data: bytes = b"x") -> str:
    storage.write_bytes(uri, data)
    return storage.stat(uri).etag


def test_bytes_names_and_removal(root: str) -> None:
    assert storage.list_names(f"{root}/store") == []
    assert not storage.exists(f"{root}/store")
    put(f"{root}/store/a/one.json", b"1")
    put(f"{root}/store/a/one.json", b"2")
    put(f"{root}/store/a-b", b"")
    put(f"{root}/store/a/deep/two", b"3" * 100_000)
    assert storage.list_names(f"{root}/store") == ["a", "a-b"]
    assert storage.list_names(f"{root}/store/a") == ["deep", "one.json"]
    assert storage.read_bytes(f"{root}/store/a/one.json") == b"2"
    assert storage.read_bytes(f"{root}/store/a-b") == b""
    assert storage.stat(f"{root}/store/a/deep/two").size_bytes == 100_000
    assert storage.exists(f"{root}/store/a")
    assert not storage.exists(f"{root}/store/b")
    storage.remove_tree(f"{root}/store/a")
    storage.remove_tree(f"{root}/store/a")
    assert storage.list_names(f"{root}/store") == ["a-b"]
    storage.check_writable(f"{root}/store")
    assert [found.key for found in storage.list_objects(root)] == ["store/a-b"]


def test_a_version_is_told_from_the_next_one_of_the_same_content(root: str) -> None:
    first, second = put(f"{root}/a"), put(f"{root}/a")
    assert first != second
    [found] = storage.list_objects(root)
    assert found == (("a", 1, second, storage.stat(f"{root}/a").modified_us))


def test_what_is_missing_is_named(root: str) -> None:
    for read in (storage.read_bytes, storage.stat):
        with pytest.raises(FileNotFoundError, match=r"/missing: no such object"):
            read(f"{root}/missing")
    with pytest.raises(UsageError, match=r"cannot be written: (the container does not exist|no such object or bucket)"):
        storage.check_writable(f"{root}-none/out")


@pytest.mark.parametrize("key", ["/a.mp4", "a//b.mp4", "a/c d%2F#?é.mp4"])
def test_listed_objects_are_fetched_whatever_their_name(root: str, key: str) -> None:
    etag = put(f"{root}/{key}", b"video")
    [batch] = list_corpus(root, ListSettings())
    assert (batch["uri"].to_pylist(), batch["etag"].to_pylist()) == ([f"{root}/{key}"], [etag])
    with fetch(f"{root}/{key}", etag, 5, max_bytes=100) as fetched:
        assert Path(fetched.path).read_bytes() == b"video"
    [single] = list_corpus(f"{root}/{key}", ListSettings())
    assert single["video_id"].to_pylist() == batch["video_id"].to_pylist()


def test_listings_are_followed_from_page_to_page(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "_PAGE", 3)
    names = [f"in/{number:02d}.mp4" for number in range(10)]
    for name in names:
        put(f"{root}/{name}")
    assert [found.key for found in storage.list_objects(f"{root}/in")] == names
    assert storage.list_names(f"{root}/in") == [name.removeprefix("in/") for name in names]


def test_large_objects_are_fetched_by_parts_of_one_version(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_body, "PART_BYTES", 1000)
    data = bytes(range(256)) * 20
    etag = put(f"{root}/a.mp4", data)
    with fetch(f"{root}/a.mp4", etag, len(data), max_bytes=10_000) as fetched:
        assert Path(fetched.path).read_bytes() == data
    scheme = object_storage.storage_of(root)
    opened = scheme.open_once(f"{root}/a.mp4", etag, 100)
    assert (opened.start, opened.size_bytes, opened.body.read(10)) == (100, len(data), data[100:110])
    replaced = put(f"{root}/a.mp4", data)
    with pytest.raises(OSError, match="was replaced since it was listed"):
        while opened.body.read(500):
            pass
    with pytest.raises(FetchError, match="was replaced since it was listed") as raised:
        fetch(f"{root}/a.mp4", etag, len(data), max_bytes=10_000)
    assert raised.value.outcome is Outcome.CHANGED
    assert replaced != etag


def test_tables_are_read_and_written(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(TABLE, f"{root}/t/a.parquet")
    files, path = storage.filesystem(f"{root}/t/b.parquet")
    files = pickle.loads(pickle.dumps(files))
    pq.write_table(TABLE, path, filesystem=files)
    for name in "ab":
        assert read_table(f"{root}/t/{name}.parquet").equals(TABLE)
    listed = files.get_file_info(fs.FileSelector(f"{root.partition('://')[2]}", recursive=True))
    assert {info.base_name: info.type for info in listed} == {
        "t": fs.FileType.Directory,
        "a.parquet": fs.FileType.File,
        "b.parquet": fs.FileType.File,
    }
    monkeypatch.setattr(arrow_files, "READ_WHOLE_BYTES", 10)
    assert read_table(f"{root}/t/a.parquet").equals(TABLE)


def test_a_lease_is_taken_and_renewed_by_conditional_writes(root: str) -> None:
    uri = f"{root}/store/lease.json"
    with Lease(uri) as taken:
        assert taken.notes == ()
        taken.check()
        late = Lease(uri)
        with pytest.raises(UsageError, match="is working on this store"):
            late.__enter__()
        assert not late._take(None)
        taken.check()
    assert storage.list_names(f"{root}/store") == []


def test_of_two_that_take_a_void_lease_one_gets_it(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "STALE_S", 2.0)
    monkeypatch.setattr(lease, "POLL_S", 0.2)
    uri = f"{root}/store/lease.json"
    storage.write_bytes(uri, b"left behind")
    early, late = Lease(uri), Lease(uri)
    void = late._await_free()
    with early:
        assert not late._take(void)
        early.check()


def test_a_storage_that_is_gone_is_asked_again_and_named(
    root: str, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    for name, value in emulator.env.items():
        port = value.rpartition("127.0.0.1:")[2].partition("/")[0]
        monkeypatch.setenv(name, value.replace(f"127.0.0.1:{port}", "127.0.0.1:9") if port.isdigit() else value)
    forget()
    waited: list[int] = []
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: waited.append(failures) or 0.0)
    with pytest.raises(ConnectionError, match=rf"^{root}/a: the storage cannot be reached"):
        storage.read_bytes(f"{root}/a")
    assert waited == list(range(1, retries.ATTEMPTS))
    waited.clear()
    with pytest.raises(FetchError) as raised:
        fetch(f"{root}/a", "1", 5, max_bytes=100, retries=RetryLimits(attempts=3))
    assert (raised.value.outcome, waited) == (Outcome.UNREADABLE, [1, 2])


def test_a_library_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, module, missing, extra in (
        ("gs", "gcs", "google.cloud.storage", "gcs"),
        ("az", "azure", "azure.storage.blob", "azure"),
    ):
        object_storage._load.cache_clear()
        monkeypatch.delitem(sys.modules, f"artifactscan.storage.{module}")
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(
            UsageError, match=rf"^{scheme}:// needs \S+, which is not installed; pip install .*\[{extra}\]"
        ):
            storage.read_bytes(f"{scheme}://bucket/a")
    object_storage._load.cache_clear()


def test_an_account_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    azure._service.cache_clear()
    with pytest.raises(UsageError, match="az:// needs an account; set AZURE_STORAGE_ACCOUNT"):
        storage.check_writable("az://container/out")


def test_links_are_signed_with_the_accounts_key(root: str, link: Callable[[str], bytes | None]) -> None:
    put(f"{root}/a.mp4", b"video")
    assert link(f"{root}/a.mp4") in (b"video", None)


@pytest.fixture
def link() -> Callable[[str], bytes | None]:
    """What is read without credentials behind an object's link; None where these credentials sign none."""
    from datetime import timedelta
    from urllib.request import urlopen

    def read(uri: str) -> bytes | None:
        url = storage.presigned_url(uri, timedelta(minutes=5))
        if url is None:
            assert uri.startswith("gs:"), "the emulator's credentials have no key"
            return None
        with urlopen(url) as answer:
            return answer.read()

    return read
