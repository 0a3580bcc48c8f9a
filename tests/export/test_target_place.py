"""An export takes an empty folder, or its own earlier export; whatever else is there is named, refused and kept."""

import os
from pathlib import Path

import pytest
from exported import tree_bytes
from exported_nights import export, iceberg_table, night, write_nights
from nights import a_night
from refused_export import refused_export
from s3_server import S3Server

from artifactscan.audit.audit_store import AuditStore
from artifactscan.errors import UsageError
from artifactscan.export.target_place import check_free_for_store, check_not_in_store
from artifactscan.jobs.export import main as export_job
from artifactscan.store.layout import Store

FOLDER_TARGETS = ("delta", "iceberg", "views", "label-studio")
TARGETS = (*FOLDER_TARGETS, "duckdb")
HELD = {
    "delta": "Delta tables",
    "iceberg": "Iceberg tables",
    "views": "views over a store",
    "webvtt": "an export to webvtt",
    "strange files": "something else (clips, mine.txt)",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 1)
    return store


def fill(folder: Path, held: str, store: Store) -> None:
    """Makes a folder that holds something."""
    if held == "strange files":
        (folder / "clips").mkdir(parents=True)
        (folder / "mine.txt").write_text("mine")
    else:
        assert export_job([store.root, "--to", held, "--output", str(folder)]) == 0


def times_of_folders(root: str) -> dict[str, int]:
    """When a file was last made or removed in each folder, in ns."""
    return {folder: Path(folder).stat().st_mtime_ns for folder, _, _ in os.walk(root)}


# What events of another tool are refused with is shown in test_write_events.py.
OTHERS = [
    (held, to)
    for held in HELD
    for to in FOLDER_TARGETS
    if held != to and (held, to) not in (("webvtt", "label-studio"), ("strange files", "views"))
]


@pytest.mark.parametrize(("held", "to"), OTHERS)
def test_a_folder_that_holds_something_else_is_named_with_what_it_holds(
    held: str, to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    fill(folder, held, store)
    before = tree_bytes(folder)
    assert refused_export([store.root, "--to", to, "--output", str(folder)], capsys) == (
        f"--output {folder} holds {HELD[held]}; give a folder of its own"
    )
    assert tree_bytes(folder) == before


@pytest.mark.parametrize("held", ["delta", "iceberg", "webvtt"])
def test_no_database_is_begun_in_an_export(
    held: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(folder := tmp_path / "folder", held, store)
    (tmp_path / "link").symlink_to(folder)
    before = tree_bytes(folder)
    for output in (folder / "x.duckdb", tmp_path / "link" / "x.duckdb"):
        assert refused_export([store.root, "--to", "duckdb", "--output", str(output)], capsys) == (
            f"--output {output} lies in {folder}, which holds {HELD[held]}; give a folder of its own"
        )
    assert tree_bytes(folder) == before


def test_a_database_that_is_there_is_continued_wherever_it_lies(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    export(store, "duckdb", tmp_path / "x.duckdb")
    fill(tmp_path / "folder", "webvtt", store)
    (tmp_path / "x.duckdb").rename(tmp_path / "folder" / "x.duckdb")
    export(store, "duckdb", tmp_path / "folder" / "x.duckdb")


def test_views_and_databases_lie_beside_each_other_and_beside_own_files(store: Store, tmp_path: Path) -> None:
    for first, second in (("views", "duckdb"), ("duckdb", "views")):
        folder = tmp_path / first
        fill(folder, "strange files", store)
        (folder / "mine.sql").write_text("SELECT 1")
        for to in (first, second, first, second):
            export(store, to, folder / "x.duckdb" if to == "duckdb" else folder)
        assert {path.name for path in folder.iterdir()} == {"clips", "mine.txt", "mine.sql", "duckdb.sql", "x.duckdb"}
        assert (folder / "mine.sql").read_text() == "SELECT 1"


@pytest.mark.parametrize("to", FOLDER_TARGETS)
def test_an_empty_folder_and_the_own_earlier_export_are_taken(to: str, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".0123456789abcdef.tmp").touch()  # as a kill leaves it
    for _ in range(2):
        assert export_job([store.root, "--to", to, "--output", str(folder)]) == 0
    (folder / "notes.txt").write_text("mine")
    assert export_job([store.root, "--to", to, "--output", str(folder)]) == 0


@pytest.mark.parametrize("to", ["delta", "iceberg"])
def test_the_beginning_of_an_export_that_was_killed_is_taken(to: str, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "frames" / ("_delta_log" if to == "delta" else "metadata")).mkdir(parents=True)
    assert export_job([store.root, "--to", to, "--output", str(folder)]) == 0


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("place", ["", "frames", "frames/run=x", "runs/x/parts/deep"])
def test_nothing_is_written_into_another_store(
    place: str, to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Store(str(tmp_path / "other"))
    write_nights(other, 1, first=3)
    output = str(Path(other.root, place))
    before, changed = tree_bytes(tmp_path), times_of_folders(other.root)
    where = f"lies in {other.root}, which is a scoring store" if place else "is a scoring store"
    assert refused_export([store.root, "--to", to, "--output", output], capsys) == (
        f"--output {output} {where}; give a place outside it"
    )
    assert tree_bytes(tmp_path) == before
    assert times_of_folders(other.root) == changed, "no file was made there, not even for a moment"


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("place", ["mine", "nights/mine", "scores/mine"])
def test_nothing_is_written_into_the_store_of_an_audit(
    place: str, to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditStore(str(tmp_path / "audit"))
    write_nights(audit.scores, 1, first=3)
    audit.commit(a_night(night(3)))
    output = f"{audit.root}/{place}"
    where = (
        f"{audit.root}/scores, which is a scoring store" if "scores" in place else f"{audit.root}, which is the store"
    )
    assert f"--output {output} lies in {where}" in refused_export([store.root, "--to", to, "--output", output], capsys)


def test_an_audit_whose_first_night_was_cut_off_is_one(tmp_path: Path, store: Store, capsys) -> None:
    (tmp_path / "audit" / "canary").mkdir(parents=True)
    (tmp_path / "audit" / "canary" / "clips.json").write_text("{}")
    output = f"{tmp_path}/audit/x.duckdb"
    assert refused_export([store.root, "--to", "duckdb", "--output", output], capsys) == (
        f"--output {output} lies in {tmp_path}/audit, which is the store of an audit; give a place outside it"
    )


def test_a_link_into_a_store_is_followed(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Store(str(tmp_path / "other"))
    write_nights(other, 1, first=3)
    (tmp_path / "link").symlink_to(f"{other.root}/events")
    assert refused_export([store.root, "--to", "delta", "--output", f"{tmp_path}/link/x"], capsys) == (
        f"--output {tmp_path}/link/x lies in {other.root}, which is a scoring store; give a place outside it"
    )


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize(("held", "what"), [("delta", "a Delta table"), ("iceberg", "an Iceberg table")])
def test_nothing_is_written_into_a_table_whose_clean_up_would_remove_it(
    held: str, what: str, to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(store, held, tmp_path / "lake")
    output = f"{tmp_path}/lake/videos/mine"
    assert refused_export([store.root, "--to", to, "--output", output], capsys) == (
        f"--output {output} lies in {tmp_path}/lake/videos, which is {what}; give a place outside it"
    )


UUID = "0d9b6f0e-5c2a-4f0e-9a39-5c5e1f0a7b11"


@pytest.mark.parametrize(
    "name",
    [
        f"00012-{UUID}.metadata.json",
        f"00012-{UUID}.gz.metadata.json",
        f"00012-{UUID}.metadata.json.gz",
        "v3.metadata.json",
        "v1715886514322000000.gz.metadata.json",
        "v3.metadata.json.gz",
    ],
)
def test_iceberg_tables_of_any_writer_are_known_by_their_metadata(name: str, tmp_path: Path) -> None:
    metadata = tmp_path / "table" / "metadata" / name
    metadata.parent.mkdir(parents=True)
    metadata.write_bytes(b"")
    with pytest.raises(UsageError, match=f"^--output .* lies in {tmp_path}/table, which is an Iceberg table; "):
        check_not_in_store(f"{tmp_path}/table/mine")


@pytest.mark.parametrize(
    "name", ["clip.metadata.json", "2026-01-01-clip.metadata.json", "v3-final.metadata.json", f"{UUID}.json"]
)
def test_descriptions_of_clips_make_no_iceberg_table(name: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / name).write_text("{}")
    export(store, "iceberg", tmp_path / "lake")


@pytest.mark.parametrize("file", ["runs/baseline/run.json", "runs/1/manifest.parquet", "nights/first/night.json"])
def test_runs_of_other_tools_make_no_store(file: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("{}")
    export(store, "duckdb", tmp_path / "out.duckdb")


def test_a_store_is_known_among_many_runs_of_other_tools(store: Store) -> None:
    for number in range(10):
        (Path(store.root) / "runs" / f"{number}").mkdir()
    with pytest.raises(UsageError, match="is a scoring store"):
        check_not_in_store(store.root)


def test_folders_named_as_those_of_a_store_are_no_store(store: Store, tmp_path: Path) -> None:
    """Such as ~/runs of another tool, or a store at ~/scores beside the output."""
    for name in ("runs/mine", "nights/mine", "canary", "metadata", "frames"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "notes.json").write_text("{}")
    write_nights(Store(str(tmp_path / "scores")), 1)
    export(store, "delta", tmp_path / "lake")


@pytest.mark.parametrize("place", ["store/catalog.sqlite", "other/frames/catalog.sqlite", "link/catalog.sqlite"])
def test_no_catalogue_is_made_in_a_store(
    place: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nights(Store(str(tmp_path / "other")), 1, first=3)
    (tmp_path / "link").symlink_to(store.root)
    before = tree_bytes(tmp_path)
    words = [store.root, "--to", "iceberg", "--output", str(tmp_path / "lake"), "--catalog"]
    lies_in = tmp_path / ("other" if place.startswith("other") else "store")
    for url in (f"sqlite:///{tmp_path}/{place}", f"sqlite:///file:{tmp_path}/{place}?uri=true"):
        assert refused_export([*words, url], capsys) == (
            f"--catalog {tmp_path}/{place} lies in {lies_in}, which is a scoring store; give a place outside it"
        )
    assert tree_bytes(tmp_path) == before
    assert not (tmp_path / "lake").exists()


def test_a_catalogue_that_pyiceberg_is_configured_for_is_made_in_no_store_either(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".pyiceberg.yaml").write_text(f"catalog:\n  mine:\n    uri: sqlite:///{store.root}/mine.sqlite\n")
    monkeypatch.setenv("PYICEBERG_HOME", str(tmp_path))
    assert refused_export(
        [store.root, "--to", "iceberg", "--output", str(tmp_path / "lake"), "--catalog", "mine"], capsys
    ).startswith(f"--catalog {store.root}/mine.sqlite lies in {store.root}, which is a scoring store; ")


def test_a_catalogue_of_any_name_may_lie_beside_its_tables(store: Store, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "mine.sqlite").touch()  # as a kill may leave it
    for _ in range(2):
        export(store, "iceberg", lake, catalog=f"sqlite:///{lake}/mine.sqlite")


def test_a_catalogue_may_lie_in_a_folder_beside_its_tables(store: Store, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (lake / "catalog").mkdir(parents=True)
    for _ in range(2):
        export(store, "iceberg", lake, catalog=f"sqlite:///{lake}/catalog/mine.sqlite")


@pytest.mark.parametrize("other", ["catalogue", "namespace"])
def test_files_of_tables_that_another_catalogue_has_are_not_mixed_with(
    other: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, catalog = tmp_path / "lake", f"sqlite:///{tmp_path}/lake/catalog.sqlite"
    export(store, "iceberg", lake)
    words = ["--namespace", "mine"] if other == "namespace" else ["--catalog", f"sqlite:///{tmp_path}/other.sqlite"]
    name = "mine.frames" if other == "namespace" else "artifactscan.frames"
    shown = catalog if other == "namespace" else words[1]
    assert refused_export([store.root, "--to", "iceberg", "--output", str(lake), *words], capsys) == (
        f"{lake}/frames holds files (data) of no table {name} of the catalogue {shown}; give the catalogue and the "
        "namespace by which they were written, or another --output"
    )
    assert iceberg_table(lake, "frames").scan().to_arrow().num_rows > 0


@pytest.mark.parametrize("held", ["delta", "iceberg", "webvtt"])
def test_no_store_is_begun_in_an_export(held: str, store: Store, tmp_path: Path) -> None:
    """Its tables lie in folders of the same names, which the clean-up of the export's would empty."""
    folder = str(tmp_path / "folder")
    fill(Path(folder), held, store)
    with pytest.raises(UsageError) as raised:
        check_free_for_store(folder, flag="--store")
    assert str(raised.value) == f"--store {folder} holds {HELD[held]}; give the store a folder of its own"


def test_a_store_is_continued_and_may_lie_beside_other_files(store: Store, tmp_path: Path) -> None:
    fill(tmp_path / "mine", "strange files", store)
    fill(tmp_path / "views", "views", store)
    for folder in (
        store.root,
        f"{tmp_path}/mine",
        f"{tmp_path}/views",
        f"{tmp_path}/mine/mine.txt",
        f"{tmp_path}/none",
    ):
        check_free_for_store(folder)


def test_an_output_on_an_object_storage_is_looked_at_as_well(
    store: Store, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = s3.put_folder("year/scores", Path(store.root))
    catalog = ["--catalog", f"sqlite:///{tmp_path}/c.sqlite"]
    keys = s3.keys()
    for to, flags in (("webvtt", []), ("views", []), ("iceberg", catalog)):
        assert refused_export([store.root, "--to", to, "--output", f"{other}/frames/x", *flags], capsys) == (
            f"--output {other}/frames/x lies in {other}, which is a scoring store; give a place outside it"
        )
    assert s3.keys() == keys
    out = s3.uri("out")
    assert export_job([store.root, "--to", "webvtt", "--output", out]) == 0
    for to, flags in (("views", []), ("iceberg", catalog)):
        assert refused_export([store.root, "--to", to, "--output", out, *flags], capsys) == (
            f"--output {out} holds an export to webvtt; give a folder of its own"
        )


def test_a_bucket_that_does_not_exist_is_wrong_usage_of_every_target(
    store: Store, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = ["--catalog", f"sqlite:///{tmp_path}/c.sqlite"]
    for to, flags in (("webvtt", []), ("views", []), ("iceberg", catalog)):
        assert refused_export([store.root, "--to", to, "--output", "s3://no-such-bucket/x", *flags], capsys) == (
            "output s3://no-such-bucket/x cannot be written: the bucket does not exist"
        )
    assert not (tmp_path / "c.sqlite").exists()


def test_a_bucket_that_may_not_be_read_above_the_output_is_no_reason_to_refuse(s3: S3Server) -> None:
    s3.faults.status("", 403)  # every listing
    check_not_in_store(s3.uri("lake/scores"))
