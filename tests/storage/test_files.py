"""Local paths and S3, through a real server with injected faults."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aws_env import set_aws_env
from limits import files_of_at_most, without_privileges
from s3_server import S3Server, aws_env

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.storage import retries


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    """An empty place to write to: a folder, then a prefix of a bucket."""
    if request.param == "local":
        return str(request.getfixturevalue("tmp_path") / "store")
    return request.getfixturevalue("s3").uri("some/store")


def test_normalise_gives_one_spelling(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert storage.normalise("a/../b/") == f"{tmp_path}/b"
    assert storage.normalise("file:///a%20b/c") == "/a b/c"
    assert storage.normalise("/a%20b#?") == "/a%20b#?"
    assert storage.normalise("-x") == f"{tmp_path}/-x"
    assert storage.normalise("s3://bucket/") == "s3://bucket"
    assert storage.normalise("S3://bucket/a//b/") == "s3://bucket/a//b"
    assert storage.normalise("GS://bucket/a/") == "gs://bucket/a"
    assert storage.normalise("az://container/a") == "az://container/a"


def test_a_submitted_job_takes_no_relative_path() -> None:
    for uri in ("clips", "./clips", "../clips"):
        storage.check_uri("--input", uri, submitted=False)
        with pytest.raises(UsageError, match=r"^--input .*clips is relative, but a submitted job runs in a copy"):
            storage.check_uri("--input", uri, submitted=True)
    for uri in ("/clips", "s3://bucket/clips", "file:///clips"):
        storage.check_uri("--input", uri, submitted=True)


@pytest.mark.parametrize(
    "uri", ["http://host/x", "ftp://bucket/x", "s3://", "s3:///key", "gs://", "az:///x", "file://host/x", "", "a\0b"]
)
def test_normalise_refuses_other_schemes(uri):
    with pytest.raises(UsageError, match=r"s3://bucket/prefix"):
        storage.normalise(uri)


def test_join():
    assert storage.join("s3://b", "x", "y") == "s3://b/x/y"
    assert storage.join("/", "x") == "/x"
    assert storage.join("/a/", "x") == "/a/x"


def test_bytes_names_and_removal(root):
    assert storage.list_names(root) == []
    assert not storage.exists(root)
    storage.write_bytes(storage.join(root, "a", "one.json"), b"1")
    storage.write_bytes(storage.join(root, "a", "one.json"), b"2")
    storage.write_bytes(storage.join(root, "a-b"), b"")
    storage.write_bytes(storage.join(root, "a", "deep", "two"), b"3" * 100_000)
    assert storage.list_names(root) == ["a", "a-b"]
    assert storage.list_names(storage.join(root, "a")) == ["deep", "one.json"]
    assert storage.read_bytes(storage.join(root, "a", "one.json")) == b"2"
    assert storage.stat(storage.join(root, "a", "deep", "two")).size_bytes == 100_000
    assert storage.exists(storage.join(root, "a"))
    assert storage.exists(storage.join(root, "a-b"))
    assert not storage.exists(storage.join(root, "b"))
    storage.remove_tree(storage.join(root, "a"))
    storage.remove_tree(storage.join(root, "a"))
    assert storage.list_names(root) == ["a-b"]
    storage.remove_tree(storage.join(root, "a-b"))
    assert storage.list_names(root) == []


def test_errors_name_what_is_missing(root):
    missing = storage.join(root, "missing")
    for read in (storage.read_bytes, storage.stat):
        with pytest.raises(FileNotFoundError, match=r"store/missing"):
            read(missing)


def test_pyarrow_reads_what_boto3_wrote(root):
    table = pa.table({"x": [1, 2, 3]})
    files, path = storage.filesystem(storage.join(root, "t", "x=1.parquet"))
    storage.write_bytes(storage.join(root, "t", "other"), b"")
    files = pickle.loads(pickle.dumps(files))  # as it travels to Ray's workers
    pq.write_table(table, path, filesystem=files)
    assert storage.list_names(storage.join(root, "t")) == ["other", "x=1.parquet"]
    assert pq.read_table(path, filesystem=files).equals(table)


def test_more_than_a_page_is_removed(s3: S3Server):
    for number in range(1003):
        s3.put(f"x/{number}")
    s3.put("xy")
    storage.remove_tree(s3.uri("x"))
    assert s3.keys() == ["xy"]
    with pytest.raises(ValueError, match="whole bucket"):
        storage.remove_tree(s3.uri())


def test_a_failed_write_leaves_the_old_content(tmp_path):
    target = str(tmp_path / "run.json")
    storage.write_bytes(target, b"old")
    with files_of_at_most(1000), pytest.raises(OSError, match="too large"):
        storage.write_bytes(target, b"x" * 5000)
    assert storage.read_bytes(target) == b"old"
    assert storage.list_names(str(tmp_path)) == ["run.json"]


def test_a_file_written_in_pieces_is_there_once_it_is_whole(root):
    uri = f"{root}/deep/list.json"
    with storage.open_to_write(uri) as file:
        file.write(b"[1,")
        assert not storage.exists(uri)
        file.write(b"2]")
    assert storage.read_bytes(uri) == b"[1,2]"
    with pytest.raises(ZeroDivisionError), storage.open_to_write(uri) as file:
        file.write(b"[3,")
        raise ZeroDivisionError
    assert storage.read_bytes(uri) == b"[1,2]"
    assert storage.list_names(f"{root}/deep") == ["list.json"]


def test_throttled_requests_are_retried(s3: S3Server):
    s3.put("a", b"hello")
    s3.faults.status("a", 503, times=2)
    assert storage.read_bytes(s3.uri("a")) == b"hello"
    s3.faults.status("b", 500, times=2)
    storage.write_bytes(s3.uri("b"), b"there")
    assert s3.keys() == ["a", "b"]


@pytest.mark.slow
def test_requests_outlast_a_storage_that_is_gone_for_20_seconds(s3: S3Server):
    table = pa.table({"a": [1]})
    storage.check_writable(s3.uri())  # both clients are made
    s3.put("in", b"there")
    files, path = storage.filesystem(s3.uri("out.parquet"))
    with ThreadPoolExecutor() as threads:
        s3.go_away()
        try:
            asked = [
                threads.submit(storage.read_bytes, s3.uri("in")),
                threads.submit(storage.write_bytes, s3.uri("out"), b"landed"),
                threads.submit(storage.list_names, s3.uri()),
                threads.submit(pq.write_table, table, path, filesystem=files),
            ]
            time.sleep(20)
            assert not any(future.done() for future in asked)
        finally:
            s3.come_back()
        read, _, names, _ = (future.result() for future in asked)
    assert read == b"there"
    assert "in" in names
    assert storage.read_bytes(s3.uri("out")) == b"landed"
    assert pq.read_table(path, filesystem=files).equals(table)


def test_refusals_raise_different_errors(s3: S3Server):
    s3.faults.status("denied", 403)
    s3.faults.status("expired", 400, code="ExpiredToken")
    with pytest.raises(PermissionError, match=r"^s3://.*/denied: access denied"):
        storage.read_bytes(s3.uri("denied"))
    with pytest.raises(PermissionError, match=r"not accepted \(ExpiredToken\)"):
        storage.read_bytes(s3.uri("expired"))
    with pytest.raises(FileNotFoundError, match="the bucket does not exist"):
        storage.read_bytes("s3://no-such-bucket/x")


def test_checking_for_write_access_leaves_nothing_behind(root, s3: S3Server, tmp_path):
    storage.check_writable(root)
    assert s3.keys() == []
    assert list(tmp_path.iterdir()) == []


def test_an_output_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            UsageError,
            match=rf"^output {output} cannot be written: {tmp_path}/file is not a folder; give a folder that can be$",
        ):
            storage.check_writable(str(output))


def test_a_folder_without_permission_is_not_writable():
    with without_privileges() as folder:
        folder.chmod(0o500)
        with pytest.raises(UsageError, match=r"cannot be written: Permission denied; give a folder that can be$"):
            storage.check_writable(str(folder / "new"))


def test_a_full_disk_is_not_writable(tmp_path):
    with (
        files_of_at_most(0),
        pytest.raises(UsageError, match=r"cannot be written: File too large; give a folder that can be$"),
    ):
        storage.check_writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", r"access denied \(AccessDenied\)"),
        (403, "InvalidAccessKeyId", "credentials are not accepted"),
        (403, "SignatureDoesNotMatch", "credentials are not accepted"),
    ],
)
def test_an_output_that_refuses_is_not_writable(s3: S3Server, status, code, words):
    s3.faults.status("*", status, code=code)
    with pytest.raises(UsageError, match=rf"^output s3://\S+ cannot be written: .*{words}") as raised:
        storage.check_writable(s3.uri("out"))
    assert "\n" not in str(raised.value)


def test_an_output_in_a_missing_bucket_is_not_writable(s3: S3Server):
    with pytest.raises(UsageError, match="the bucket does not exist"):
        storage.check_writable("s3://no-such-bucket/out")


def test_an_output_without_credentials_is_not_writable(s3: S3Server, monkeypatch):
    env = {name: value for name, value in s3.env.items() if "KEY" not in name}
    set_aws_env(monkeypatch, env)
    with pytest.raises(UsageError, match="no AWS credentials"):
        storage.check_writable(s3.uri("out"))


def test_an_output_at_an_unreachable_endpoint_is_not_writable(monkeypatch):
    set_aws_env(monkeypatch, aws_env("http://127.0.0.1:9"))
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="cannot be reached"):
        patch.setattr(retries, "wait_s", lambda failures, **_: 0.0)
        storage.check_writable("s3://bucket/out")
    set_aws_env(monkeypatch, aws_env("nonsense"))
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL"):
        storage.check_writable("s3://bucket/out")
