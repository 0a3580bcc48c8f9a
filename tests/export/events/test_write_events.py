"""`artifactscan export --to` a tool of people: what is written, what is refused, and that labels come back."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged import damage_pages
from exported import add_run, export_events, tree_bytes
from s3_server import S3Server

from artifactscan import storage
from artifactscan.annotation.labels_table import read_labels
from artifactscan.annotation.video_index import VIDEO_INDEX
from artifactscan.export.settings import EVENT_TARGETS
from artifactscan.jobs import export, labels
from artifactscan.labels import LABELS
from artifactscan.storage.parquet import read_table, write_table
from artifactscan.store.layout import Store

TOOLS = [target for target in EVENT_TARGETS if target != "webvtt"]
FILES = {
    "fiftyone": {"metadata.json", "samples.json", "frames.json"},
    "label-studio": {"tasks.json", "config.xml"},
    "cvat": {"labels.json", "annotations/a.xml", "annotations/day/b.xml"},
    "webvtt": {"a.vtt", "day/b.vtt"},
}


@pytest.mark.parametrize("to", EVENT_TARGETS)
def test_every_target_has_its_files_and_the_index(store: Store, to: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert export_events(store, to, out) == 0
    assert set(tree_bytes(out)) == FILES[to] | {"export.json", "index.parquet"}
    assert json.loads((out / "export.json").read_text()) == {"to": to, "store": store.root, "spec": "spec"}
    index = pq.read_table(out / "index.parquet")
    assert index.schema.equals(VIDEO_INDEX)
    assert list(zip(index["file"].to_pylist(), index["frame_index"].to_pylist(), strict=True)) == [
        *(("a.mp4", frame) for frame in (0, 12, 24, 36)),
        *(("day/b.mp4", frame) for frame in (0, 12)),
    ]
    said = capsys.readouterr().out
    assert "2 events of 2 clips" in said and "6 frames, scored by resnet50-01234567, spec spec" in said
    assert "left out, as no frame of their latest version is scored: 1" in said
    assert (f"labels import --from {to} " in said) == (to != "webvtt")


@pytest.mark.parametrize("to", EVENT_TARGETS)
def test_written_again_it_has_the_same_bytes(store: Store, to: str, tmp_path: Path) -> None:
    assert export_events(store, to, tmp_path / "one") == export_events(store, to, tmp_path / "two") == 0
    first = tree_bytes(tmp_path / "one")
    assert tree_bytes(tmp_path / "two") == first
    assert export_events(store, to, tmp_path / "one") == 0
    assert tree_bytes(tmp_path / "one") == first


def events_as_labels() -> list[tuple]:
    """Of each sampled frame of the store's clips: file, frame, labels in order."""
    motion, object = (0, 1, 1, 0), (0, 0, 1, 1)
    a = [("a.mp4", number * 12, 0, 0, motion[number], object[number]) for number in range(4)]
    return [*a, ("day/b.mp4", 0, 0, 0, 0, 0), ("day/b.mp4", 12, 0, 0, 0, 0)]


def accept(to: str, out: Path) -> Path:
    """What the tool exports once anna has found the first clip's events right, and nobody has seen the second."""
    if to == "fiftyone":
        content = json.loads((out / "samples.json").read_text())
        content["samples"][0]["tags"] = ["reviewed:anna"]
        file = out.with_name("samples.json")
    elif to == "label-studio":
        content = json.loads((out / "tasks.json").read_text())
        result = content[0]["predictions"][0]["result"]
        content[0]["annotations"] = [{"result": result, "completed_by": {"email": "anna"}, "was_cancelled": False}]
        file = out.with_name("project.json")
    else:
        root = ElementTree.parse(out / "annotations" / "a.xml").getroot()
        reviewed = ElementTree.SubElement(root, "track", {"id": "9", "label": "reviewed"})
        box = ElementTree.SubElement(reviewed, "box", {"frame": "0", "outside": "0"})
        ElementTree.SubElement(box, "attribute", {"name": "by"}).text = "anna"
        file = out.with_name("task.xml")
        file.write_bytes(ElementTree.tostring(root))
        return file
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("to", TOOLS)
def test_events_that_somebody_accepts_come_back_as_labels_of_the_frames(
    store: Store, to: str, tmp_path: Path, capsys
) -> None:
    out, table = tmp_path / "out", tmp_path / "labels.csv"
    assert export_events(store, to, out) == 0
    file, index = str(accept(to, out)), str(out / "index.parquet")
    words = ["import", "--from", to, "--file", file, "--index", index, "--output", str(table)]
    assert labels.main(words) == 0
    rows = read_labels(str(table)).to_pylist()
    assert [(row["file"], row["frame_index"], *(row[label] for label in LABELS)) for row in rows] == events_as_labels()[
        :4
    ]
    assert {row["annotator"] for row in rows} == {"anna"}
    said = capsys.readouterr().out
    assert ("left out, as nobody labelled them yet: 2" in said) == (to != "cvat")  # a file of CVAT's has one clip


@pytest.mark.parametrize("to", TOOLS)
def test_events_alone_are_no_labels(store: Store, to: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert export_events(store, to, out) == 0
    name = {"fiftyone": "samples.json", "label-studio": "tasks.json", "cvat": "annotations/a.xml"}[to]
    words = ["import", "--from", to, "--file", str(out / name), "--index", str(out / "index.parquet")]
    assert labels.main([*words, "--output", str(tmp_path / "labels.csv"), "--untagged", "skip"]) == 2
    assert "holds no labelled frame; label some, then export again" in capsys.readouterr().err
    assert not (tmp_path / "labels.csv").exists()


def refused(capsys, code: int) -> str:
    assert code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix("error: ").strip()


def test_a_folder_with_something_else_is_refused(store: Store, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a.txt", "b.txt", "c\n.txt", "d.txt"):
        (out / name).write_text("mine")
    assert refused(capsys, export_events(store, "webvtt", out)) == (
        f"--output {out} holds something else (a.txt, b.txt, c\\n.txt, …); give a folder of its own"
    )
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "b.txt", "c\n.txt", "d.txt"]
    (out / "export.json").write_text("{}")
    assert refused(capsys, export_events(store, "webvtt", out)) == (
        f"{out}/export.json is not the record of an export; give --output a folder of its own"
    )


def test_hidden_files_that_a_killed_export_left_are_no_reason_to_refuse(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".another.json.lock", ".0123456789abcdef.tmp"):  # a lock of lease.json would be waited for
        (out / name).write_text("")
    assert export_events(store, "webvtt", out) == 0
    assert FILES["webvtt"] < set(tree_bytes(out))


def test_an_export_of_something_else_is_not_written_over(store: Store, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert export_events(store, "webvtt", out) == 0
    before = tree_bytes(out)
    capsys.readouterr()
    assert refused(capsys, export_events(store, "cvat", out)) == (
        f"--output {out} holds an export to webvtt, not cvat, by which somebody may be labelling; give another folder"
    )
    other = Store(str(tmp_path / "other"))
    add_run(other, "run1", {"/clips/a.mp4": {"motion": [0.9]}})
    assert f"holds an export of the store {store.root}, not {other.root}, " in refused(
        capsys, export_events(other, "webvtt", out)
    )
    add_run(store, "run2", {"/clips/a.mp4": {"motion": [0.9]}}, spec="newer")
    assert "holds an export of the spec spec, not newer, " in refused(capsys, export_events(store, "webvtt", out))
    assert tree_bytes(out) == before
    assert export_events(store, "webvtt", out, "--spec", "spec") == 0
    assert tree_bytes(out) == before


def test_an_output_in_the_store_or_in_a_file_is_refused(store: Store, tmp_path: Path, capsys) -> None:
    assert refused(capsys, export_events(store, "cvat", f"{store.root}/cvat")) == (
        f"--output {store.root}/cvat lies in the store {store.root}; give a place beside it"
    )
    (tmp_path / "link").symlink_to(store.root)
    assert refused(capsys, export_events(store, "cvat", tmp_path / "link" / "cvat")) == (
        f"--output {tmp_path}/link/cvat lies in the store {store.root}; give a place beside it"
    )
    assert f"lies in the store {tmp_path}/link; " in refused(
        capsys, export.main([f"{tmp_path}/link", "--to", "cvat", "--output", f"{store.root}/cvat"])
    )
    assert not Path(store.root, "cvat").exists()
    (tmp_path / "file").write_text("")
    said = refused(capsys, export_events(store, "cvat", tmp_path / "file"))
    assert f"output {tmp_path}/file cannot be written: " in said


@pytest.mark.parametrize("flags", [["--catalog", "x"], ["--namespace", "x"]])
def test_flags_of_tables_are_refused(store: Store, flags: list[str], tmp_path: Path, capsys) -> None:
    assert refused(capsys, export_events(store, "cvat", tmp_path / "out", *flags)) == (
        f"{flags[0]} goes with --to iceberg; leave it out with --to cvat"
    )
    assert not (tmp_path / "out").exists()


def test_a_store_that_is_none_is_named(tmp_path: Path, capsys) -> None:
    said = refused(capsys, export_events(Store(str(tmp_path / "none")), "cvat", tmp_path / "out"))
    assert said == f"STORE {tmp_path}/none has neither nights nor runs; give the folder an audit or a scoring wrote"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["cvat", "webvtt"])
def test_files_of_clips_without_scores_now_go_and_others_stay(store: Store, to: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_events(store, to, out) == 0
    notes = out / "notes.txt"
    notes.write_text("mine")
    add_run(store, "run2", {"/clips/a.mp4": "undecodable"}, etags={"/clips/a.mp4": "2"})
    assert export_events(store, to, out) == 0
    gone = {"cvat": "annotations/a.xml", "webvtt": "a.vtt"}[to]
    assert set(tree_bytes(out)) == FILES[to] - {gone} | {"export.json", "index.parquet", "notes.txt"}


@pytest.mark.parametrize("to", ["cvat", "webvtt"])
def test_an_index_that_another_wrote_removes_nothing_but_clip_files_of_the_folder(
    store: Store, to: str, tmp_path: Path
) -> None:
    out, suffix = tmp_path / "out", {"cvat": ".xml", "webvtt": ".vtt"}[to]
    assert export_events(store, to, out) == 0
    kept = [tmp_path / "mine" / "notes", tmp_path / f"mine{suffix}", out / "mine" / "notes", out / "notes.txt"]
    kept += [out / f"folder{suffix}" / "notes"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    names = ["../mine", f"../mine{suffix}", str(tmp_path / "mine"), f"{tmp_path}/mine{suffix}", "mine", "", "."]
    names += ["notes.txt", f"folder{suffix}", f"day/../../mine{suffix}", f"day//b{suffix}", f"a\0{suffix}"]
    (out / f"gone{suffix}").write_text("a clip's")
    index = pq.read_table(out / "index.parquet").slice(0, 1)
    rows = [{**index.to_pylist()[0], "written": name} for name in [*names, f"gone{suffix}"]]
    pq.write_table(pa.Table.from_pylist(rows, VIDEO_INDEX), out / "index.parquet")
    assert export_events(store, to, out) == 0
    assert [path.read_text() for path in kept] == ["mine"] * len(kept)
    assert not (out / f"gone{suffix}").exists()


@pytest.mark.parametrize("table", ["frames", "videos", "events"])
@pytest.mark.parametrize("to", EVENT_TARGETS)
def test_a_run_that_lost_rows_is_refused_and_the_export_before_stays(
    store: Store, to: str, table: str, tmp_path: Path, capsys
) -> None:
    add_run(store, "run2", {"/clips/c.mp4": {"motion": [0.9]}})
    out, lost = tmp_path / "out", Path(getattr(store, table)("run1"))
    assert export_events(store, to, out) == 0
    before = tree_bytes(out)
    rows = sum(pq.read_metadata(file).num_rows for file in lost.iterdir())
    shutil.rmtree(lost)
    capsys.readouterr()
    assert refused(capsys, export_events(store, to, out)) == (
        f"{lost} has 0 rows, and run.json says {rows}; restore it from a copy, or remove {store.run_json('run1')} to "
        "have the run settled again"
    )
    assert tree_bytes(out) == before


@pytest.mark.parametrize("table", ["frames", "videos", "events"])
def test_a_table_with_a_damaged_page_is_named(store: Store, table: str, tmp_path: Path, capsys) -> None:
    file = next(Path(getattr(store, table)("run1")).iterdir())
    damage_pages(file)
    said = refused(capsys, export_events(store, "webvtt", tmp_path / "out"))
    assert said.startswith(f"table {file} is damaged or cut off (") and said.endswith("); restore it from a copy")


@pytest.mark.parametrize(("table", "column"), [("frames", "p_motion"), ("videos", "uri"), ("events", "peak")])
def test_a_table_without_a_column_is_refused_and_the_export_before_stays(
    store: Store, table: str, column: str, tmp_path: Path, capsys
) -> None:
    out, file = tmp_path / "out", next(Path(getattr(store, table)("run1")).iterdir())
    assert export_events(store, "webvtt", out) == 0
    before = tree_bytes(out)
    write_table(read_table(str(file)).drop_columns([column]), str(file))
    capsys.readouterr()
    assert refused(capsys, export_events(store, "webvtt", out)) == (
        f"table {file} is damaged or cut off (it has no column {column}); restore it from a copy"
    )
    assert tree_bytes(out) == before


@pytest.mark.parametrize("to", EVENT_TARGETS)
def test_a_store_and_an_output_on_s3(store: Store, to: str, tmp_path: Path, s3: S3Server) -> None:
    there = Store(s3.uri("store"))
    add_run(there, "run1", {"s3://clips/a.mp4": {"motion": [0.1, 0.9]}}, input="s3://clips")
    assert export_events(there, to, s3.uri("out")) == 0
    assert export_events(there, to, tmp_path / "out") == 0
    names = {name: data for name, data in tree_bytes(tmp_path / "out").items() if name != "export.json"}
    assert {name: storage.read_bytes(s3.uri(f"out/{name}")) for name in names} == names
    assert "lease.json" not in storage.list_names(s3.uri("out"))


def test_hostile_names_stay_in_the_folder(tmp_path: Path, s3: S3Server) -> None:
    there = Store(s3.uri("store"))
    keys = ["../../up.mp4", "<script>.mp4", "a\n\n00:00.000 --> 00:09.000\nb.mp4", "=cmd|'.mp4", "x" * 300 + ".mp4"]
    add_run(there, "run1", {f"s3://clips/v/{key}": {"motion": [0.9]} for key in keys}, input="s3://clips/v")
    for to in EVENT_TARGETS:
        out = tmp_path / "below" / to
        assert export_events(there, to, out) == 0
        assert {path.name for path in tmp_path.iterdir()} == {"below"}
        table = pq.read_table(out / "index.parquet")
        assert sorted(table["file"].to_pylist()) == sorted(keys)
        for name in filter(None, table["written"].to_pylist()):
            assert (out / name).resolve().is_relative_to(out.resolve())
            content = (out / name).read_text()
            assert content.count("-->") == 1 if to == "webvtt" else ElementTree.fromstring(content).tag == "annotations"
