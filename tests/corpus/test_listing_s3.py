"""Listing S3 prefixes, and manifests anywhere."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from aws_env import set_aws_env
from listed import ODD_NAMES, list_all, make, names, uris
from s3_server import GeneratedBucket, S3Server, aws_env

from artifactscan.corpus.listing import VIDEO_PATTERNS, ListSettings, list_corpus
from artifactscan.errors import UsageError
from artifactscan.storage import retries
from artifactscan.storage import s3 as s3_module

# S3


def test_a_prefix_is_listed_in_key_order(s3: S3Server):
    kept = [f"in/{name}" for name in [*ODD_NAMES, "deep/er/x.mov", "/slash.mp4", "double//x.mp4"]]
    etags = {f"s3://{s3.bucket}/{key}": s3.put(key, key.encode()) for key in kept}
    for key in ("in/notes.txt", "in-other/a.mp4", "index.mp4"):
        s3.put(key)
    s3.put("in/", b"")
    s3.put("in/deep/", b"")
    table, listing = list_all(s3.uri("in"))
    rows = {row["uri"]: row for row in table.to_pylist()}
    assert {uri: row["etag"] for uri, row in rows.items()} == etags
    assert all(row["size_bytes"] == len(uri.encode()) - len(s3.uri()) - 1 for uri, row in rows.items())
    assert all(uri == f"{s3.uri()}/{key}" for uri, key in zip(sorted(rows), sorted(kept), strict=True))
    assert (listing.looked_at, listing.skipped_by_pattern) == (len(kept) + 1, 1)
    assert uris(s3.uri("in") + "/") == table["uri"].to_pylist()


def test_pages_read_as_boto3_reads_them(s3: S3Server):
    for key in ODD_NAMES:
        s3.put(key, key.encode())
    expected = [
        (entry["Key"], entry["Size"], entry["ETag"].strip('"'), entry["LastModified"])
        for entry in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]
    ]
    rows = list_all(s3.uri())[0].to_pylist()
    found = [(r["uri"].removeprefix(s3.uri() + "/"), r["size_bytes"], r["etag"], r["modified"]) for r in rows]
    assert found == expected


def test_a_page_as_aws_writes_it():
    """Url-encoded keys, where a newline is possible too, an owner, and no namespace."""
    body = (
        "<ListBucketResult><Name>b</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        "<Contents><Key>a+b%0A%2B%252F.mp4</Key><LastModified>2026-01-02T03:04:05Z</LastModified>"
        "<ETag>&#34;abc-2&#34;</ETag><Size>5</Size><Owner><ID>x</ID></Owner></Contents></ListBucketResult>"
    )
    response, result = {"status_code": 200, "body": body.encode()}, {}
    s3_module._parse_page(response, result)
    time_us = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000
    assert result == {"Entries": [("a b\n+%2F.mp4", 5, "abc-2", time_us)]}
    assert b"Contents" not in response["body"]
    assert b"IsTruncated" in response["body"]


def test_listing_takes_constant_memory(monkeypatch):
    """Shown on 20,000 and 60,000: three times the objects, the same peak."""
    script = (
        "import resource, sys; from artifactscan.corpus.listing import *\n"
        "rows = sum(b.num_rows for b in list_corpus('s3://generated/videos', ListSettings()))\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (20_000, 60_000):
        with GeneratedBucket(count) as bucket:
            env = {**os.environ, **bucket.env, "PYTHONPATH": os.pathsep.join(sys.path)}
            answer = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        rows, peak = map(int, answer.stdout.split())
        assert rows == count
        peaks.append(peak)
    assert peaks[1] < 1.05 * peaks[0]


def test_pages_are_followed_and_limited(monkeypatch):
    with GeneratedBucket(12_345) as bucket:
        set_aws_env(monkeypatch, bucket.env)
        table, _ = list_all(bucket.uri)
        assert table.num_rows == 12_345
        assert table["uri"][12_344].as_py() == "s3://generated/videos/000012/clip-000012344.mp4"
        assert names(bucket.uri, limit=3) == [f"000000/clip-00000000{i}.mp4" for i in range(3)]
        assert names(bucket.uri, include=("000007/*1999*", "*12000.mp4")) == ["000012/clip-000012000.mp4"]


def test_one_object_named_exactly(s3: S3Server):
    etag = s3.put("a/clip", b"123")
    s3.put("a/clip/inside.mp4")
    table, _ = list_all(s3.uri("a/clip"))
    assert (table["uri"].to_pylist(), table["etag"].to_pylist()) == ([s3.uri("a/clip")], [etag])
    assert uris(s3.uri("a/clip") + "/") == [s3.uri("a/clip/inside.mp4")]


def test_s3_inputs_without_videos_are_refused(s3: S3Server):
    s3.put("docs/a.txt")
    with pytest.raises(UsageError, match="holds no videos: it is empty"):
        uris(s3.uri("missing"))
    with pytest.raises(UsageError, match="1 file was looked at and none matches"):
        uris(s3.uri("docs"))


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "access denied"),
        (403, "InvalidAccessKeyId", "the AWS credentials are not accepted"),
        (403, "SignatureDoesNotMatch", "the AWS credentials are not accepted"),
        (400, "ExpiredToken", "the AWS credentials are not accepted"),
        (404, "NoSuchBucket", "the bucket does not exist"),
    ],
)
def test_refused_s3_requests_are_errors(s3: S3Server, status, code, words):
    s3.faults.status("*", status, code=code)
    for key in ("", "in"):
        with pytest.raises(UsageError, match=rf"^input {s3.uri(key)} cannot be read: {words}") as raised:
            list_corpus(s3.uri(key), ListSettings())
        assert "\n" not in str(raised.value)


def test_missing_bucket_credentials_or_profile_are_errors(s3: S3Server, monkeypatch):
    with pytest.raises(UsageError, match="cannot be read: the bucket does not exist"):
        list_corpus("s3://no-such-bucket/in", ListSettings())
    set_aws_env(monkeypatch, {name: value for name, value in s3.env.items() if "KEY" not in name})
    with pytest.raises(UsageError, match="no AWS credentials"):
        list_corpus(s3.uri(), ListSettings())
    set_aws_env(monkeypatch, {**aws_env("http://127.0.0.1:9"), "AWS_PROFILE": "nobody"})
    with pytest.raises(UsageError, match="no AWS credentials"):
        list_corpus(s3.uri(), ListSettings())
    with pytest.raises(UsageError, match="cannot be read"):
        list_corpus("s3://Not A Bucket/in", ListSettings())


def test_an_unreachable_endpoint_is_an_error(monkeypatch):
    set_aws_env(monkeypatch, aws_env("http://127.0.0.1:9"))
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: 0.0)
    with pytest.raises(UsageError, match="the storage cannot be reached"):
        list_corpus("s3://bucket/in", ListSettings())


def test_throttled_listing_is_retried(s3: S3Server):
    s3.put("in/a.mp4")
    listing = list_corpus(s3.uri("in"), ListSettings())
    s3.faults.status("", 503, times=2)
    assert [batch.num_rows for batch in listing] == [1]


# Manifests


@pytest.mark.parametrize("ending", ["csv", "parquet", "CSV"])
def test_manifest_entries_are_listed_and_missing_etags_looked_up(tmp_path, s3: S3Server, ending):
    make(tmp_path, "clips/a.mp4", "clips/no-ending", "new\nline.mp4", "deny.mp4")
    odd = "new\nline.mp4"
    etag = s3.put("x/b.mp4", b"12345")
    s3.faults.status("x/denied.mp4", 403)
    entries = [
        ("clips/a.mp4", None, None),
        ("./clips/../clips/a.mp4", None, None),
        (f"{tmp_path}/clips/no-ending", 1, "stale"),
        ("new\nline.mp4", None, None),
        ("gone.mp4", None, None),
        (s3.uri("x/b.mp4"), None, None),
        (s3.uri("x/denied.mp4"), 9, None),
        (s3.uri("x/known.mp4"), 77, '"abc"'),
        (s3.uri("x/known.mp4"), 77, "abc"),
        ("http://host/c.mp4", None, None),
        (f"file://{tmp_path}/clips/a.mp4", None, None),
    ]
    uri, size, tag = (list(column) for column in zip(*entries, strict=True))
    table = pa.table({"other": ["x"] * len(uri), "uri": uri, "etag": tag, "size_bytes": size})
    write = pq.write_table if ending == "parquet" else pa_csv.write_csv
    write(table, tmp_path / f"list.{ending}")

    rows, listing = list_all(tmp_path / f"list.{ending}")
    found = {row["uri"]: (row["size_bytes"], row["etag"]) for row in rows.to_pylist()}
    mtime = {name: (tmp_path / name).stat().st_mtime_ns for name in ("clips/a.mp4", "clips/no-ending", odd)}
    assert found == {
        f"{tmp_path}/clips/a.mp4": (11, f"{mtime['clips/a.mp4']}-11"),
        f"{tmp_path}/clips/no-ending": (15, f"{mtime['clips/no-ending']}-15"),
        f"{tmp_path}/new\nline.mp4": (12, f"{mtime[odd]}-12"),
        f"{tmp_path}/gone.mp4": (None, None),
        s3.uri("x/b.mp4"): (5, etag),
        s3.uri("x/denied.mp4"): (9, None),
        s3.uri("x/known.mp4"): (77, "abc"),
        "http://host/c.mp4": (None, None),
    }
    assert (listing.duplicates, listing.looked_at) == (3, 11)
    assert sorted(request.key for request in s3.faults.requests) == ["x/b.mp4", "x/denied.mp4"]
    assert names(tmp_path / f"list.{ending}", include=("clips/*.mp4",)) == [f"{tmp_path}/clips/a.mp4".lstrip("/")]


def test_paths_in_a_manifest_are_relative_to_its_folder(s3: S3Server):
    s3.put("x/a.mp4", b"123")
    s3.put("x/lists/l.csv", b'uri\n../a.mp4\n"b, c.mp4"\n')
    s3.put("x/lists/b, c.mp4", b"1")
    assert list_all(s3.uri("x/lists/l.csv"))[0]["size_bytes"].to_pylist() == [None, 1]


def test_since_looks_up_what_a_manifest_does_not_say(tmp_path, s3: S3Server):
    s3.put("a.mp4")
    (tmp_path / "l.csv").write_text(f"uri,etag\n{s3.uri('a.mp4')},pinned\n")
    table, _ = list_all(tmp_path / "l.csv", since=datetime(2020, 1, 1, tzinfo=UTC))
    assert table["etag"].to_pylist() == ["pinned"]
    assert table["modified"].null_count == 0
    assert uris(tmp_path / "l.csv", since=datetime(2100, 1, 1, tzinfo=UTC)) == []


def test_a_listing_can_be_used_as_a_manifest(s3: S3Server, tmp_path):
    for name in ODD_NAMES:
        s3.put(f"in/{name}", name.encode())
    table, _ = list_all(s3.uri("in"))
    pq.write_table(table, tmp_path / "l.parquet")
    again, _ = list_all(tmp_path / "l.parquet")
    columns = ["video_id", "uri", "size_bytes", "etag"]
    assert again.select(columns).equals(table.select(columns))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.csv", b"url,size\na.mp4,1\n", "has no column `uri`; its columns are url, size$"),
        ("l.csv", b"uri\tsize_bytes\na.mp4\t1\n", "cannot be read: its columns are separated by tabs; save it as CSV"),
        ("l.csv", b"", "is empty; write a heading `uri` and a row for each video$"),
        ("l.csv", b"uri\n", "holds no videos: it is empty$"),
        ("l.csv", b"uri,size_bytes\na.mp4,1\n,2\n", "row 2 has no uri"),
        ("l.csv", b"uri,size_bytes\na.mp4,big\n", "cannot be read: .*'big'"),
        ("l.csv", b"uri\n\xff.mp4\n", "cannot be read: .*UTF8"),
        ("l.parquet", b"PAR1 not really PAR1", "cannot be read"),
    ],
)
def test_invalid_manifests_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{tmp_path}/{name}.*{words}") as raised:
        uris(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_patterns_name_the_usual_endings():
    assert {"*.mp4", "*.mov", "*.m4v", "*.mkv", "*.webm", "*.gif", "*.avi"} <= set(VIDEO_PATTERNS)
