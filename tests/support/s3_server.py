"""S3 on loopback for tests: moto behind a proxy that injects network faults, and a bucket of any size.

    with S3Server() as server:                       # the `s3` fixture does this and sets the environment
        server.client.put_object(Bucket=server.bucket, Key="a.mp4", Body=data)
        server.faults.status("a.mp4", 503, times=2)  # twice 503 SlowDown for a.mp4
        server.faults.cut("*.mov", after_bytes=1000) # one body breaks off after 1000 bytes
        server.faults.delay("*", 0.2)
        server.faults.requests                       # [(method, key, headers, …), …] as they came in

Keys in faults are globs, matched with the decoded key; listings have the key "". Of several rules for a request the
oldest one with repetitions left is applied. Moto answers 404 for keys with a newline.
``python s3_server.py 1000000`` serves a GeneratedBucket of that size until it is killed.
"""

import fnmatch
import http.client
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HOST = "127.0.0.1"
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "date", "server"}
_CONDITIONS = frozenset({"if-match", "if-none-match"})
_CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass
class _Fault:
    key: str
    kind: str
    times: int
    methods: tuple[str, ...]
    status: int = 0
    code: str = ""
    after_bytes: int = 0
    seconds: float = 0.0
    compares: bool = True
    ignored: frozenset[str] = frozenset()


@dataclass
class Request:
    """One request as it reached the proxy."""

    method: str
    key: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]
    form: Mapping[str, list[str]]
    """Fields of a form request, as EC2 and IAM use them; moto serves both at the same endpoint."""


@dataclass
class Faults:
    """Network faults; a rule is applied ``times`` times (-1: always), the oldest rule first."""

    requests: list[Request] = field(default_factory=list)
    _rules: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def status(self, key: str, status: int, *, code: str = "", times: int = -1, methods: tuple[str, ...] = ()) -> None:
        """Answers requests for ``key`` with an error, without passing them to the server."""
        code = code or _CODES.get(status, "Error")
        self._rules.append(_Fault(key, "status", times, methods, status=status, code=code))

    def cut(self, key: str, *, after_bytes: int, times: int = 1) -> None:
        """Closes the connection after ``after_bytes`` of the body of a GET for ``key``."""
        self._rules.append(_Fault(key, "cut", times, ("GET",), after_bytes=after_bytes))

    def delay(self, key: str, seconds: float, *, times: int = -1) -> None:
        """Answers requests for ``key`` after a delay."""
        self._rules.append(_Fault(key, "delay", times, (), seconds=seconds))

    def ignore_conditions(self, key: str, *names: str) -> None:
        """Drops these headers, or If-Match and If-None-Match, of PUTs for ``key``, as storages do that lack them."""
        ignored = frozenset(name.lower() for name in names) or _CONDITIONS
        self._rules.append(_Fault(key, "ignore conditions", -1, ("PUT",), ignored=ignored))

    def refuse_conditions(self, key: str) -> None:
        """Answers 501 to PUTs for ``key`` with If-Match or If-None-Match."""
        self._rules.append(_Fault(key, "refuse conditions", -1, ("PUT",)))

    def weaken(self, key: str, *, compares: bool = True) -> None:
        """Answers with weak etags for ``key``; without ``compares`` no If-Match holds, as RFC 9110 has it for those."""
        self._rules.append(_Fault(key, "weaken", -1, (), compares=compares))

    def clear(self) -> None:
        """Removes all faults and recorded requests."""
        self._rules.clear()
        self.requests.clear()

    def _take(self, request: Request) -> _Fault | None:
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.methods and request.method not in rule.methods:
                    continue
                if rule.times and fnmatch.fnmatchcase(request.key, rule.key):
                    rule.times -= 1
                    return rule
        return None


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *_: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        proceeds = super().handle_expect_100()
        self.wfile.flush()  # boto3 waits a second for it before it sends an object's content
        return proceeds

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, promised: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_error(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        if self.command == "HEAD":
            body = b""
        self.answer(status, {"Content-Type": "application/xml"}, body)


class _Proxy(_Quiet):
    faults: Faults
    upstream: tuple[str, int]

    def _forward(self) -> None:
        body = self._body()
        key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        is_form = "x-www-form-urlencoded" in self.headers.get("Content-Type", "")
        form = parse_qs(body.decode()) if is_form else {}
        fault = self.faults._take(Request(self.command, key, dict(self.headers), query, form))
        if fault and fault.kind == "status":
            self.answer_error(fault.status, fault.code)
            return
        if fault and fault.kind == "delay":
            time.sleep(fault.seconds)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
        conditions = {name for name in headers if name.lower() in _CONDITIONS}
        if fault and fault.kind == "refuse conditions" and conditions:
            self.answer_error(501, "NotImplemented")
            return
        if fault and fault.kind == "weaken" and not fault.compares and "If-Match" in headers:
            self.answer_error(412, "PreconditionFailed")
            return
        if fault and fault.kind == "ignore conditions":
            headers = {name: value for name, value in headers.items() if name.lower() not in fault.ignored}
        upstream = http.client.HTTPConnection(*self.upstream)
        upstream.request(self.command, self.path, body=body, headers=headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_HEADERS}
        if fault and fault.kind == "weaken" and "ETag" in kept:
            kept["ETag"] = f"W/{kept['ETag']}"
        promised = int(response.getheader("Content-Length") or 0) if self.command == "HEAD" else len(content)
        if fault and fault.kind == "cut" and response.status < 300:
            content = content[: fault.after_bytes]
            self.close_connection = True
        self.answer(response.status, kept, content, promised=promised)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Breaks all open connections."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        pass  # a client that hangs up is part of the tests


def _serve(handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None) -> _Server:
    server = _Server((HOST, port), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class S3Server:
    """An S3 server on a free port of loopback, with one empty bucket; other processes can use it too.

    ``tls``: serve HTTPS.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request takes as long as the request
        self._moto = ThreadedMotoServer(HOST, 0, verbose=False)
        self._moto.start()
        self.faults = Faults()
        upstream = self._moto.get_host_and_port()
        self._handler = type("Proxy", (_Proxy,), {"faults": self.faults, "upstream": upstream})
        self._proxy = _serve(self._handler, tls=tls)
        self.endpoint = f"{'https' if tls else 'http'}://{HOST}:{self._proxy.server_address[1]}"
        self._direct = f"http://{HOST}:{upstream[1]}"
        self.bucket = ""
        self.new_bucket()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which boto3 and pyarrow use only this server."""
        return aws_env(self.endpoint)

    @cached_property
    def client(self) -> Any:
        """A boto3 client that bypasses the proxy and its faults."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self._direct,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def new_bucket(self) -> str:
        """Makes an empty bucket, sets ``bucket`` to it, and removes all faults."""
        self.faults.clear()
        self.bucket = f"test-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.bucket)
        return self.bucket

    def put(self, key: str, data: bytes = b"x") -> str:
        """Stores an object, returns its etag."""
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=data)["ETag"].strip('"')

    def put_folder(self, key: str, folder: Path) -> str:
        """Stores the files of a folder below ``key``, returns its uri."""
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{key}/{file.relative_to(folder)}", file.read_bytes())
        return self.uri(key)

    def uri(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}".rstrip("/")

    def keys(self) -> list[str]:
        """All keys of the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def go_away(self) -> None:
        """Stops listening and breaks open connections, until ``come_back``."""
        self._address = self._proxy.server_address
        self._proxy.shutdown()
        self._proxy.server_close()
        self._proxy.hang_up()

    def come_back(self) -> None:
        self._proxy = _serve(self._handler, self._address[1])

    def close(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._moto.stop()

    def __enter__(self) -> "S3Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def aws_env(endpoint: str) -> dict[str, str]:
    """An AWS environment with this endpoint and fake credentials, in which nothing else is looked up."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


class _Generated(_Quiet):
    count: int

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        bucket, _, key = urlsplit(self.path).path.strip("/").partition("/")
        if key:
            self.answer_error(404, "NoSuchKey")
            return
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(self.count, start + int(query.get("max-keys", ["1000"])[0]))
        prefix = query.get("prefix", [""])[0]
        body = _page(bucket, prefix, start, end, self.count).encode()
        self.answer(200, {"Content-Type": "application/xml"}, body)

    do_HEAD = do_GET


def _page(bucket: str, prefix: str, start: int, end: int, count: int) -> str:
    entries = "".join(
        f"<Contents><Key>{prefix}{i // 1000:06d}/clip-{i:09d}.mp4</Key>"
        f"<LastModified>2026-01-{1 + i % 28:02d}T00:00:{i % 60:02d}.000Z</LastModified>"
        f"<ETag>&quot;{i:032x}&quot;</ETag><Size>{1_000_000 + i}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for i in range(start, end)
    )
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < count else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>"
        "<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
        f"<Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{end - start}</KeyCount>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(end < count).lower()}</IsTruncated>"
        f"{more}{entries}</ListBucketResult>"
    )


class GeneratedBucket:
    """A bucket of ``count`` videos that exist only in its listing, served by another process.

    with GeneratedBucket(1_000_000) as bucket: list_corpus(bucket.uri, …) in the environment ``bucket.env``.
    """

    uri = "s3://generated/videos"

    def __init__(self, count: int):
        command = [sys.executable, __file__, str(count)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.endpoint = json.loads(self._process.stdout.readline())["endpoint"]

    @property
    def env(self) -> dict[str, str]:
        return aws_env(self.endpoint)

    def __enter__(self) -> "GeneratedBucket":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    generated = _Server((HOST, 0), type("Generated", (_Generated,), {"count": int(sys.argv[1])}))
    print(json.dumps({"endpoint": f"http://{HOST}:{generated.server_address[1]}"}), flush=True)
    generated.serve_forever()
