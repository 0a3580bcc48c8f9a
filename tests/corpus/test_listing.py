"""Listing local folders and files, patterns and limits."""

import os
import re
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import without_privileges
from listed import ODD_NAMES, list_all, make, names, uris

from artifactscan.corpus import listing, manifest
from artifactscan.corpus.listed_object import video_id
from artifactscan.corpus.listing import ListSettings, check_input, list_corpus
from artifactscan.corpus.output_place import check_apart
from artifactscan.corpus.path_globs import PathGlobs
from artifactscan.errors import UsageError

# Folders


def test_a_folder_in_the_order_of_names(tmp_path):
    paths = ["b.mp4", "a/z.mov", "a/y/x.WEBM", "a.gif", "a-b/c.mkv", "notes.txt", "a/poster.jpg"]
    table, listing = list_all(make(tmp_path, *paths))
    found = [uri.removeprefix(f"{tmp_path}/") for uri in table["uri"].to_pylist()]
    assert found == sorted(path for path in paths if path[-3:] not in ("txt", "jpg"))
    assert (listing.looked_at, listing.available, listing.skipped_by_pattern) == (7, 5, 2)


def test_the_row_of_a_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"12345")
    os.utime(tmp_path / "a.mp4", ns=(0, 1_700_000_000_123_456_789))
    uri, etag = f"{tmp_path}/a.mp4", "1700000000123456789-5"
    digest = blake2b(f"{uri}\0{etag}".encode(), digest_size=16).hexdigest()
    table, _ = list_all(tmp_path)
    assert table.to_pylist() == [
        {
            "video_id": digest,
            "uri": uri,
            "size_bytes": 5,
            "etag": etag,
            "modified": datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123_456),
        }
    ]
    assert video_id(uri, etag) == digest
    assert list_all(f"file://{tmp_path}")[0].equals(table)


def test_unusual_names_are_listed(tmp_path):
    odd = [*ODD_NAMES, "new\nline.mp4", "\t.mp4"]
    assert sorted(names(make(tmp_path, *odd))) == sorted(odd)


def test_a_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path, "-in/a.mp4"))
    assert uris("-in") == [f"{tmp_path}/-in/a.mp4"]


def test_a_name_that_is_not_utf8_is_listed_without_etag(tmp_path):
    make(tmp_path, "good.mp4", os.fsdecode(b"bad\xff.mp4"), os.fsdecode(b"dir\xfe/x.mp4"))
    table, _ = list_all(tmp_path)
    etags = dict(zip(table["uri"].to_pylist(), table["etag"].to_pylist(), strict=True))
    assert etags.pop(f"{tmp_path}/good.mp4")
    assert etags == {f"{tmp_path}/bad\\xff.mp4": None, f"{tmp_path}/dir\\xfe/x.mp4": None}


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path):
    make(tmp_path, "in/a.mp4", "elsewhere/b.mp4", "in/real/c.mp4")
    (tmp_path / "in/file-link.mp4").symlink_to(tmp_path / "elsewhere/b.mp4")
    (tmp_path / "in/folder-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/real/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/broken.mp4").symlink_to("nowhere")
    (tmp_path / "in/circle.mp4").symlink_to("circle.mp4")
    os.mkfifo(tmp_path / "in/pipe.mp4")
    table, _ = list_all(tmp_path / "in")
    rows = {row["uri"].removeprefix(f"{tmp_path}/in/"): row["size_bytes"] for row in table.to_pylist()}
    assert rows == {
        "a.mp4": 8,
        "file-link.mp4": 15,
        "real/c.mp4": 13,
        "broken.mp4": None,
        "circle.mp4": None,
        "pipe.mp4": None,
    }
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "link") == ["b.mp4"]


def test_an_unreadable_folder_is_an_error_unless_excluded():
    with without_privileges() as folder:
        make(folder, "a.mp4", "lost+found/b.mp4").joinpath("lost+found").chmod(0)
        try:
            with pytest.raises(UsageError, match=r"folder .*/lost\+found cannot be read \(Permission denied\)"):
                uris(folder)
            for glob in ("lost+found/", "lost+found", "lost+found/**", "**/LOST*/**"):
                assert names(folder, exclude=(glob,)) == ["a.mp4"]
        finally:
            (folder / "lost+found").chmod(0o700)


# What is taken


def test_globs(tmp_path):
    make(tmp_path, "a.mp4", "x/a.MP4", "x/y/b.mov", "drafts/c.mp4", "x/drafts/d.mp4", "e[1].mp4", "z.bin")
    everything = ["a.mp4", "drafts/c.mp4", "e[1].mp4", "x/a.MP4", "x/drafts/d.mp4", "x/y/b.mov"]
    assert names(tmp_path) == everything
    assert names(tmp_path, include=("A.mp4",)) == ["a.mp4", "x/a.MP4"]
    assert names(tmp_path, include=("x/*.mp4",)) == ["x/a.MP4"]
    assert names(tmp_path, include=("x/**",)) == ["x/a.MP4", "x/drafts/d.mp4", "x/y/b.mov"]
    assert names(tmp_path, include=("**/y/*.mov", "?.mp4")) == [
        "a.mp4",
        "drafts/c.mp4",
        "x/a.MP4",
        "x/drafts/d.mp4",
        "x/y/b.mov",
    ]
    assert names(tmp_path, include=("**",)) == [*everything, "z.bin"]
    assert names(tmp_path, include=("/*.mp4",)) == ["a.mp4", "e[1].mp4"]
    assert names(tmp_path, include=("[a-c].m*",), exclude=("drafts/",)) == ["a.mp4", "x/a.MP4", "x/y/b.mov"]
    assert names(tmp_path, include=("[!a-c].mp4",)) == ["x/drafts/d.mp4"]
    assert names(tmp_path, include=("*[[]1].mp4",)) == ["e[1].mp4"]
    assert names(tmp_path, exclude=("**/drafts/**", "*.mov")) == ["a.mp4", "e[1].mp4", "x/a.MP4"]


def test_an_invalid_glob_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"^--include \[z-a\] is not a glob"):
        uris(make(tmp_path, "a.mp4"), include=("[z-a]",))


@given(st.text(st.characters(exclude_characters="/*?[]", exclude_categories=("Cs",)), min_size=1))
def test_a_name_matches_itself_and_nothing_longer(name):
    globs = PathGlobs((name,), "--include")
    paths = pa.array([name, f"x/{name}", f"{name}x", f"x{name}", f"{name}/{name}x"])
    assert globs.match(paths).to_pylist() == [True, True, False, False, False]


def test_limit_and_since(tmp_path):
    make(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.txt")
    for number, name in enumerate(("a.mp4", "b.mp4", "c.mp4")):
        os.utime(tmp_path / name, (1000 + number, 1000 + number))
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    assert names(tmp_path, limit=2) == ["a.mp4", "b.mp4"]
    assert names(tmp_path, limit=0) == []
    table, listing = list_all(tmp_path, since=datetime.fromtimestamp(1001, UTC))
    assert [uri[-10:] for uri in table["uri"].to_pylist()] == [
        f"{tmp_path}/b.mp4"[-10:],
        "broken.mp4",
        f"{tmp_path}/c.mp4"[-10:],
    ]
    assert (listing.skipped_older, listing.skipped_by_pattern) == (1, 1)
    (tmp_path / "broken.mp4").unlink()
    assert names(tmp_path, since=datetime(2030, 1, 1, tzinfo=UTC)) == []  # nothing new tonight is no mistake


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("clips", "--input and --output are both {t}/clips"),
        ("clips/", "are both"),
        ("link", "are both"),
        ("clips/day/../out", "lies in --input {t}/clips, whose clips what is written would join"),
        (".", "--input {t}/clips lies in --output"),
        ("out", None),
        ("clips2", None),
    ],
)
def test_an_output_is_apart_from_its_input(tmp_path, output, said):
    (tmp_path / "clips").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "clips")
    check = partial(check_apart, f"{tmp_path}/{output}", f"{tmp_path}/clips")
    if said is None:
        check()
    else:
        with pytest.raises(UsageError, match=re.escape(said.format(t=tmp_path))):
            check()


def test_a_bucket_s_prefixes_are_apart_and_a_single_file_may_lie_in_the_output(tmp_path):
    check_apart("s3://b/out", "s3://b/clips")
    check_apart("s3://b/clips2", "s3://b/clips")
    check_apart("s3://b", "s3://b/list.parquet")
    (tmp_path / "a.mp4").touch()
    check_apart(str(tmp_path), str(tmp_path / "a.mp4"))
    for output, input in (("s3://b/clips/", "s3://b/clips"), ("s3://b/out", "s3://b"), ("s3://b", "s3://b/clips")):
        with pytest.raises(UsageError, match="give the output a place of its own"):
            check_apart(output, input)


def test_an_input_is_checked_without_looking_up_a_manifest_s_entries(tmp_path, monkeypatch):
    (tmp_path / "list.csv").write_text("uri\na.mp4\n")
    (tmp_path / "bad.csv").write_text("url\na.mp4\n")
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(manifest, "_manifest_entry", None)
    check_input(str(tmp_path / "list.csv"), ListSettings())
    for name, said in (("bad.csv", "no column `uri`"), ("gone", "cannot be read"), ("", "holds no videos")):
        with pytest.raises(UsageError, match=said):
            check_input(str(tmp_path / name), ListSettings())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uri\n1\n2\n", r"row 1 has uri 1, which is a number; give a uri or path, or \./1 for a file of that name"),
        ("uri,uri\na.mp4,b.mp4\n", "has more than one column `uri`; remove all but one"),
        ("", "is empty; write a heading `uri` and a row for each video"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(tmp_path, text, said):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        uris(tmp_path / "list.csv")


def test_a_manifest_whose_uris_are_no_text_is_refused(tmp_path):
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"uri": [1, 2, 3]}), path)
    with pytest.raises(UsageError, match="column `uri` holds int64, not text; write uris or paths"):
        uris(path)
    pq.write_table(pa.table({"uri": pa.array(["a.mp4"]).dictionary_encode()}), path)
    assert uris(path) == [f"{tmp_path}/a.mp4"]
    columns = [pa.array(["a.mp4"]), pa.array(["b.mp4"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["uri", "uri"]), path)
    with pytest.raises(UsageError, match="has more than one column `uri`"):
        uris(path)


def test_batches_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "BATCH_ROWS", 4)
    batches = list_corpus(str(make(tmp_path, *(f"{i}.mp4" for i in range(10)))), ListSettings())
    assert [batch.num_rows for batch in batches] == [4, 4, 2]


def test_a_single_file_of_any_ending(tmp_path):
    make(tmp_path, "clip.bin")
    assert uris(tmp_path / "clip.bin") == [f"{tmp_path}/clip.bin"]
    with pytest.raises(UsageError, match=r"1 file was looked at and none matches --include \*\.mov"):
        uris(tmp_path / "clip.bin", include=("*.mov",))


# Nothing to list


def test_inputs_without_videos_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    make(tmp_path, "docs/a.txt", "docs/b.pdf")
    with pytest.raises(UsageError, match=rf"^input {tmp_path}/empty holds no videos: it is empty$"):
        uris(tmp_path / "empty")
    words = rf"^input {tmp_path}/docs holds no videos: 2 files were looked at and none matches --include \*\.mp4 "
    with pytest.raises(UsageError, match=words):
        uris(tmp_path / "docs")
    with pytest.raises(UsageError, match=r"--include \*\.txt without --exclude a\*$"):
        uris(tmp_path / "docs", include=("*.txt",), exclude=("a*",))


def test_inputs_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(UsageError, match=rf"^input {tmp_path}/no cannot be read: No such file or directory$"):
        uris(tmp_path / "no")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        uris(tmp_path / "pipe")
    with without_privileges() as folder:
        make(folder, "a.mp4").joinpath("a.mp4").chmod(0)
        with pytest.raises(UsageError, match=r"a\.mp4 cannot be read: Permission denied$"):
            uris(folder / "a.mp4")
    with pytest.raises(UsageError, match="is not understood"):
        uris("ftp://bucket/x")
