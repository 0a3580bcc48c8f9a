"""How S3 is reached: trust, credentials, unusual keys and etags; reading, writing and tables do it in the same way."""

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from authority import make_authority
from aws_env import forget_clients, set_aws_env
from botocore.credentials import SSOProvider
from pyarrow import fs
from s3_server import S3Server, aws_env

from artifactscan import storage
from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.errors import UsageError
from artifactscan.outcomes import Outcome
from artifactscan.storage import arrow_files, retries
from artifactscan.storage.fetch import FetchError, fetch
from artifactscan.storage.parquet import read_table, write_table

TABLE = pa.table({"x": [1, 2, 3]})
EXPIRY = "2099-01-01T00:00:00Z"


def use_everything(s3: S3Server) -> set[str]:
    """Lists, fetches, writes and reads tables; returns the access keys that the requests were signed with."""
    s3.put("in/a.mp4", b"video")
    s3.faults.requests.clear()
    storage.check_writable(s3.uri("out"))
    [batch] = list_corpus(s3.uri("in"), ListSettings())
    [row] = batch.to_pylist()
    with fetch(row["uri"], row["etag"], row["size_bytes"], max_bytes=100) as fetched:
        assert Path(fetched.path).read_bytes() == b"video"
    write_table(TABLE, s3.uri("out/t.parquet"))
    files, path = storage.filesystem(s3.uri("out/u.parquet"))
    pq.write_table(TABLE, path, filesystem=files)
    for name in ("t", "u"):
        assert read_table(s3.uri(f"out/{name}.parquet")).equals(TABLE)
    signed = [request.headers.get("Authorization", "") for request in s3.faults.requests if not request.form]
    return {text.partition("Credential=")[2].partition("/")[0] for text in signed}


@pytest.fixture(scope="module")
def trusted_by(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path]]:
    """A server whose certificate is of an authority of one's own, and the file of that authority."""
    ca, context = make_authority(tmp_path_factory.mktemp("authority"))
    with S3Server(context) as server:
        yield server, ca


def test_an_authority_of_ones_own_is_trusted_everywhere(
    trusted_by: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ca = trusted_by
    set_aws_env(monkeypatch, {**server.env, "AWS_CA_BUNDLE": str(ca)})
    assert server.endpoint.startswith("https://")
    assert use_everything(server) == {"test"}
    forget_clients()


def test_an_authority_that_is_not_trusted_is_refused_at_once(
    trusted_by: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = trusted_by
    set_aws_env(monkeypatch, server.env)
    with pytest.raises(UsageError, match=r"certificate verify failed.* set AWS_CA_BUNDLE to the PEM file"):
        storage.check_writable(server.uri("out"))
    forget_clients()


@pytest.mark.parametrize("named", ["AWS_CA_BUNDLE", "ca_bundle of the AWS profile", "REQUESTS_CA_BUNDLE"])
def test_a_file_of_authorities_is_named_where_it_does_not_help(
    trusted_by: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    server, _ = trusted_by
    (tmp_path / "others").mkdir()
    others, _ = make_authority(tmp_path / "others")
    (tmp_path / "no.pem").write_text("nothing")
    for path, reason in {
        others: f"by none of the authorities in {named} {others}; set AWS_CA_BUNDLE to",
        tmp_path / "no.pem": f"^{named} {tmp_path}/no.pem holds no certificate; give the PEM file",
        tmp_path / "missing.pem": f"^{named} {tmp_path}/missing.pem does not exist; give the PEM file",
    }.items():
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {path}\n" if named.startswith("ca_") else "")
        set_aws_env(monkeypatch, {**server.env, "AWS_CONFIG_FILE": str(tmp_path / "config")})
        if named.isupper():
            monkeypatch.setenv(named, str(path))
        with pytest.raises(UsageError, match=reason):
            storage.check_writable(server.uri("out"))
    forget_clients()


@pytest.fixture
def profile(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Makes the given AWS configuration, without any key in the environment, that of this process."""

    def use(config: str, credentials: str = "", **env: str) -> None:
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        kept = {name: value for name, value in s3.env.items() if "KEY" not in name}
        files = {"AWS_CONFIG_FILE": tmp_path / "config", "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "credentials"}
        set_aws_env(monkeypatch, {**kept, **{name: str(path) for name, path in files.items()}, **env})

    yield use
    forget_clients()


def test_a_role_that_a_source_profile_assumes(s3: S3Server, profile: Callable[..., None]) -> None:
    profile(
        "[profile scorer]\nrole_arn = arn:aws:iam::123456789012:role/scorer\nsource_profile = base\n",
        "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret\n",
        AWS_PROFILE="scorer",
    )
    [used] = use_everything(s3)
    assert used.startswith("ASIA"), "the key of a role, not that of the source profile"


def test_a_process_that_gives_credentials_is_asked_again_before_they_expire(
    s3: S3Server, profile: Callable[..., None], tmp_path: Path
) -> None:
    script = tmp_path / "give.sh"
    script.write_text(
        "echo >>calls\n"  # boto3 renews credentials that expire within minutes
        """printf '{"Version": 1, "AccessKeyId": "AKIAPROCESS%s", "SecretAccessKey": "s", "SessionToken": "t", """
        """"Expiration": "%s"}' $(wc -l <calls) $(date -u -d '+60 seconds' +%FT%TZ)\n"""
    )
    profile(f"[default]\ncredential_process = sh -c 'cd {tmp_path} && sh {script}'\n")
    used = use_everything(s3)
    assert len(used) > 1, "a copy of the first credentials would have been used to the end"
    assert all(key.startswith("AKIAPROCESS") for key in used)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo hello", "it printed something that is not JSON"),
        ("true", "it printed something that is not JSON"),
        ("echo []", "it printed JSON that is not an object"),
        ("printf '\\377'", "it printed something that is not UTF-8"),
        ("/bin/false", "it failed without a word"),
        ("sh -c 'echo sign in first >&2; exit 1'", "sign in first"),
        ("/missing/program", "/missing/program cannot be run: No such file or directory"),
        ("echo 'open", "No closing quotation"),
    ],
)
@pytest.mark.parametrize("through_role", [False, True])
def test_a_process_that_gives_no_credentials_is_named(
    profile: Callable[..., None], command: str, reason: str, through_role: bool
) -> None:
    role = "[profile person]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = asked\n"
    name = "asked" if through_role else "person"
    config = f"{role if through_role else ''}[profile {name}]\ncredential_process = {command}\n"
    profile(config, AWS_PROFILE="person")
    with pytest.raises(PermissionError) as raised:
        storage.check_listable("s3://bucket/in")
    assert str(raised.value) == (
        f"s3://bucket/in: the credential_process of the AWS profile {name} gave no credentials ({reason}); "
        "run it by hand, or set AWS_PROFILE to another profile"
    )


class _Metadata(BaseHTTPRequestHandler):
    """EC2's instance metadata service, version 2."""

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self) -> None:
        self._answer("token")

    def do_GET(self) -> None:
        role = self.path.rstrip("/").endswith("/security-credentials")
        keys = {"AccessKeyId": "ASIAINSTANCE", "SecretAccessKey": "s", "Token": "t"}
        about = {"Code": "Success", "LastUpdated": EXPIRY, "Type": "AWS-HMAC", "Expiration": EXPIRY}
        self._answer("scorer" if role else json.dumps({**keys, **about}))


class _SingleSignOn(_Metadata):
    """The part of IAM Identity Center that gives a role's credentials for a token of `aws sso login`."""

    def do_GET(self) -> None:
        keys = {"accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4070908800000}
        self._answer(json.dumps({"roleCredentials": keys}))


@pytest.fixture
def answering() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Serves a handler and returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(handler: type[BaseHTTPRequestHandler]) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_credentials_of_the_instance(
    s3: S3Server, profile: Callable[..., None], answering: Callable[[type[BaseHTTPRequestHandler]], str]
) -> None:
    profile("", AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=answering(_Metadata))
    assert use_everything(s3) == {"ASIAINSTANCE"}


def test_credentials_of_a_single_sign_on(
    s3: S3Server,
    profile: Callable[..., None],
    answering: Callable[[type[BaseHTTPRequestHandler]], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The token is where `aws sso login` leaves it, named by the SHA-1 of the start URL."""
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))  # else below the home of whoever tests
    token = {"accessToken": "token", "expiresAt": EXPIRY, "startUrl": "https://sso.example/start"}
    name = hashlib.sha1(token["startUrl"].encode()).hexdigest()
    (tmp_path / f"{name}.json").write_text(json.dumps(token))
    profile(
        "[profile person]\nsso_start_url = https://sso.example/start\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = scorer\n",
        AWS_PROFILE="person",
        AWS_ENDPOINT_URL_SSO=answering(_SingleSignOn),
    )
    assert use_everything(s3) == {"ASIASSO"}


@pytest.mark.parametrize("key", ["//a.mp4", "a//b.mp4", "a/./b.mp4", "a/../b.mp4", "a///b c%2F#?é.mp4"])
def test_keys_that_look_like_paths_are_taken_as_they_are(s3: S3Server, key: str) -> None:
    """Between slashes an empty name, or one of dots, is a name like any other."""
    uri, etag = s3.uri(key), s3.put(key, b"video")
    assert storage.normalise(uri) == uri
    [batch] = list_corpus(s3.uri(), ListSettings())
    assert (batch["uri"].to_pylist(), batch["etag"].to_pylist()) == ([uri], [etag])
    with fetch(uri, etag, 5, max_bytes=100) as fetched:
        assert Path(fetched.path).read_bytes() == b"video"
    [single] = list_corpus(uri, ListSettings())
    assert single["uri"].to_pylist() == [uri]
    table = f"{uri}.parquet"
    write_table(TABLE, table)
    assert read_table(table).equals(TABLE)
    assert sorted(s3.keys()) == sorted([key, f"{key}.parquet"])


@pytest.mark.parametrize("compares", [True, False])
def test_weak_etags_are_compared_too(s3: S3Server, compares: bool) -> None:
    etag = s3.put("in/a.mp4", b"video")
    s3.faults.weaken("*", compares=compares)
    assert storage.stat(s3.uri("in/a.mp4")).etag == etag, "as the listing has it, whose etags are not weakened"
    for listed in (etag, storage.stat(s3.uri("in/a.mp4")).etag):
        with fetch(s3.uri("in/a.mp4"), listed, 5, max_bytes=100) as fetched:
            assert Path(fetched.path).read_bytes() == b"video"
    s3.put("in/a.mp4", b"other")
    with pytest.raises(FetchError, match="replaced since it was listed") as raised:
        fetch(s3.uri("in/a.mp4"), etag, 5, max_bytes=100)
    assert raised.value.outcome is Outcome.CHANGED


@pytest.mark.parametrize(("kind", "request_"), [("GLACIER", "Days=7"), ("DEEP_ARCHIVE", "Days=7")])
def test_an_archived_object_says_how_it_is_restored(s3: S3Server, kind: str, request_: str) -> None:
    key = "in/it's old.mp4"
    etag = s3.client.put_object(Bucket=s3.bucket, Key=key, Body=b"x", StorageClass=kind)["ETag"].strip('"')
    with pytest.raises(FetchError) as raised:
        fetch(s3.uri(key), etag, 1, max_bytes=100)
    assert raised.value.outcome is Outcome.UNREADABLE
    assert raised.value.reason == (
        f"the object is archived ({kind}); restore it with `aws s3api restore-object --bucket {s3.bucket} "
        f"""--key 'in/it'"'"'s old.mp4' --restore-request {request_}`, """
        "and give the same command again when that is done"
    )


def test_what_stands_before_the_host_of_an_endpoint_is_in_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    set_aws_env(monkeypatch, aws_env("http://person:s3cret@127.0.0.1:9"))
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: 0.0)
    with pytest.raises(FetchError) as raised:
        fetch("s3://bucket/a.mp4", "0" * 32, 5, max_bytes=100)
    with pytest.raises(OSError, match="cannot be reached") as stat:
        storage.stat("s3://bucket/a.mp4")
    for said in (raised.value.reason, str(stat.value)):
        assert "http://…@127.0.0.1:9" in said
        assert "s3cret" not in said
        assert "person" not in said
    forget_clients()


@pytest.mark.parametrize("setting", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "endpoint_url of the profile"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "u5er:p4ssw0rd@127.0.0.1:9",
        "u5er:p4ss w0rd@127.0.0.1:9",
        "http:/u5er:p4ssw0rd@127.0.0.1:9",
        "//u5er:p4ssw0rd@127.0.0.1:9",
        "http:u5er:p4ssw0rd@127.0.0.1:9",
        "http://u5er:p4ss/w0rd@127.0.0.1:9",
        "ftp://u5er:p4ssw0rd@127.0.0.1:9",
        "u5er-p4ssw0rd@127.0.0.1:9",
    ],
)
def test_an_endpoint_that_is_no_url_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, endpoint: str
) -> None:
    env = {name: value for name, value in aws_env(endpoint).items() if name != "AWS_ENDPOINT_URL"}
    if setting.isupper():
        env[setting] = endpoint
    else:
        (tmp_path / "config").write_text(f"[default]\nendpoint_url = {endpoint}\n")
        env["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    set_aws_env(monkeypatch, env)
    with pytest.raises(UsageError) as raised:
        storage.stat("s3://bucket/a.mp4")
    assert "AWS_ENDPOINT_URL …@127.0.0.1:9 is not a URL; give http:// or https:// and the host" in str(raised.value)
    assert "u5er" not in str(raised.value)
    assert "w0rd" not in str(raised.value)
    forget_clients()


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://127.0.0.1:99999", "foo://storage"])
def test_an_endpoint_that_no_request_can_be_sent_to_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    set_aws_env(monkeypatch, aws_env(endpoint))
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL"):
        storage.stat("s3://bucket/a.mp4")
    forget_clients()


def test_a_password_of_a_proxy_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    set_aws_env(monkeypatch, aws_env("https://storage.invalid"))
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: 0.0)
    for proxy, shown in {
        "http://u5er:p4ss/w0rd@127.0.0.1:9": "the proxy in HTTPS_PROXY or HTTP_PROXY is not a URL",
        "//u5er:p4ssw0rd@127.0.0.1:9": 'Failed to connect to proxy URL: "http://…@127.0.0.1:9"',
    }.items():
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        forget_clients()
        with pytest.raises(OSError, match=shown) as raised:
            storage.stat("s3://bucket/a.mp4")
        assert "p4ss" not in str(raised.value)
    forget_clients()


def test_a_large_table_is_read_by_parts_of_one_version(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_files, "READ_WHOLE_BYTES", 1000)
    monkeypatch.setattr(arrow_files, "BUFFER_BYTES", 4096)
    large = pa.table({"x": list(range(50_000)), "y": [str(number) for number in range(50_000)]})
    write_table(large, s3.uri("t.parquet"))
    s3.faults.requests.clear()
    s3.faults.cut("t.parquet", after_bytes=100)
    assert read_table(s3.uri("t.parquet")).equals(large)
    gets = [request.headers for request in s3.faults.requests if request.method == "GET"]
    assert len(gets) > 2
    assert all("Range" in headers and "If-Match" in headers for headers in gets)
    files, path = storage.filesystem(s3.uri("t.parquet"))
    with files.open_input_file(path) as opened:
        opened.read(1)
        write_table(large.slice(1), s3.uri("t.parquet"))
        opened.seek(20_000)
        with pytest.raises(OSError, match="replaced"):
            opened.read(10_000)


def test_the_filesystem_answers_as_pyarrows_own_do(s3: S3Server) -> None:
    for key in ("t/a/x.parquet", "t/b.parquet", "t/marker/", "u"):
        s3.put(key, b"data" if "." in key else b"")
    files, root = storage.filesystem(s3.uri("t"))
    assert files == storage.filesystem(s3.uri("other"))[0]
    level = files.get_file_info(fs.FileSelector(root))
    kinds = {info.path.removeprefix(f"{root}/"): info.type for info in level}
    assert kinds == {"a": fs.FileType.Directory, "b.parquet": fs.FileType.File, "marker": fs.FileType.Directory}
    deep = files.get_file_info(fs.FileSelector(root, recursive=True))
    assert {info.path.removeprefix(f"{root}/"): info.size for info in deep} == {
        "a": None,
        "a/x.parquet": 4,
        "b.parquet": 4,
    }
    one, folder, none = files.get_file_info([f"{root}/b.parquet", root, f"{root}/none"])
    assert (one.size, one.type, folder.type, none.type) == (
        4,
        fs.FileType.File,
        fs.FileType.Directory,
        fs.FileType.NotFound,
    )
    with pytest.raises(FileNotFoundError, match="no such folder"):
        files.get_file_info(fs.FileSelector(f"{root}/none"))
    assert files.get_file_info(fs.FileSelector(f"{root}/none", allow_not_found=True)) == []
    files.move(f"{root}/b.parquet", f"{root}/c.parquet")
    files.delete_dir(f"{root}/a")
    files.create_dir(f"{root}/new")
    assert s3.keys() == ["t/c.parquet", "t/marker/", "u"]


def test_an_object_is_written_when_its_stream_is_closed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_files, "SPOOL_BYTES", 1000)
    files, path = storage.filesystem(s3.uri("out"))
    with files.open_output_stream(path) as stream:
        for _ in range(300):
            stream.write(b"0123456789" * 100)
        assert s3.keys() == []
    with closing(io.BytesIO()) as whole:
        s3.client.download_fileobj(s3.bucket, "out", whole)
        assert whole.getvalue() == b"0123456789" * 30_000
    dropped = files.open_output_stream(path + "2")
    dropped.write(b"half")
    del dropped
    assert s3.keys() == ["out"]
