"""Delta tables: marked by application transactions, made whole after a restore, with few files."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema, write_deltalake
from exported_nights import LOWER, export, in_delta, night, stored, write_nights

from artifactscan.errors import UsageError
from artifactscan.export.tables import write_tables
from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.export.tables.table_target import SMALL_FILES
from artifactscan.jobs.export import main as export_job
from artifactscan.scoring.flags import flag_anew
from artifactscan.storage.lease import Lease
from artifactscan.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


def test_a_run_and_its_mark_are_one_commit(store: Store, tmp_path: Path) -> None:
    export(store, "delta", tmp_path / "lake")
    for table in EXPORTED:
        found = DeltaTable(tmp_path / "lake" / table)
        assert found.metadata().partition_columns == []
        assert found.version() == 1, "made, and written"
        assert all(found.transaction_version(f"artifactscan/{night(number)}") for number in range(3))
    flag_anew(store, store.committed()[0], LOWER)
    export(store, "delta", tmp_path / "lake")
    assert [DeltaTable(tmp_path / "lake" / table).version() for table in ("frames", "videos", "events")] == [1, 2, 2]


def test_a_table_that_was_restored_to_an_earlier_version_is_made_whole(store: Store, tmp_path: Path) -> None:
    export(store, "delta", tmp_path / "lake")
    DeltaTable(tmp_path / "lake" / "frames").restore(0)
    assert in_delta(tmp_path / "lake")["frames"] == []
    export(store, "delta", tmp_path / "lake")
    assert in_delta(tmp_path / "lake") == stored(store)


def test_a_table_with_other_columns_is_refused_and_stays(store: Store, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "lake" / "videos", pa.table({"video_id": ["a"], "run": ["b"]}))
    with pytest.raises(
        UsageError, match=r"/lake has a table videos with other columns than artifactscan's; give another"
    ):
        export(store, "delta", tmp_path / "lake")
    assert DeltaTable(tmp_path / "lake" / "videos").version() == 0


def test_a_table_with_partitions_is_refused(store: Store, tmp_path: Path) -> None:
    DeltaTable.create(tmp_path / "lake" / "frames", Schema.from_arrow(EXPORTED["frames"]), partition_by=["run"])
    with pytest.raises(
        UsageError, match=r"/lake/frames is partitioned by run, as artifactscan's is not; give another --output$"
    ):
        export(store, "delta", tmp_path / "lake")


def test_the_small_files_of_many_nights_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(write_tables, "ROWS_PER_COMMIT", 1)
    store, lake = Store(str(tmp_path / "store")), tmp_path / "lake"
    write_nights(store, SMALL_FILES - 1)
    export(store, "delta", lake)
    assert count_files(lake) == dict.fromkeys(EXPORTED, SMALL_FILES - 1)
    assert "merged" not in capsys.readouterr().out
    opened = {table: DeltaTable(lake / table) for table in EXPORTED}
    rows = {table: found.to_pyarrow_table().num_rows for table, found in opened.items()}
    write_nights(store, 1, first=SMALL_FILES - 1)
    export(store, "delta", lake)
    assert count_files(lake) == dict.fromkeys(EXPORTED, 1)
    fewer = 3 * (SMALL_FILES - 1)
    assert f"; {SMALL_FILES - 1} were there already; small files were merged, {fewer} files fewer\n" in (
        capsys.readouterr().out.replace("\n", " ").strip() + "\n"
    )
    assert in_delta(lake) == stored(store)
    assert {table: found.to_pyarrow_table().num_rows for table, found in opened.items()} == rows, "as they were opened"


def test_files_have_statistics_of_the_runs_in_them(store: Store, tmp_path: Path) -> None:
    export(store, "delta", tmp_path / "lake")
    for table in EXPORTED:
        (file,) = pa.table(DeltaTable(tmp_path / "lake" / table).get_add_actions(flatten=True)).to_pylist()
        assert (file["min.run"], file["max.run"]) == (night(0), night(2))


def test_a_run_in_a_merged_file_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(write_tables, "ROWS_PER_COMMIT", 1)
    store, lake = Store(str(tmp_path / "store")), tmp_path / "lake"
    write_nights(store, SMALL_FILES)
    export(store, "delta", lake)
    flag_anew(store, store.committed()[3], LOWER)
    DeltaTable(lake / "frames").delete(f"run = '{night(7)}'")
    assert in_delta(lake) != stored(store)
    capsys.readouterr()
    export(store, "delta", lake)
    assert "1 run written to the tables" in (said := capsys.readouterr().out)
    assert "1 renewed" in said
    assert in_delta(lake) == stored(store)


def count_files(lake: Path) -> dict[str, int]:
    return {table: len(DeltaTable(lake / table).file_uris()) for table in EXPORTED}


def test_a_folder_with_other_files_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "lake" / "events").mkdir(parents=True)
    (tmp_path / "lake" / "events" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"/lake/events holds files that are no Delta table; give another --output$"):
        export(store, "delta", tmp_path / "lake")


def test_two_exports_at_once_are_one(store: Store, tmp_path: Path) -> None:
    with (
        Lease(str(tmp_path / "lake" / "lease.json"), what="export"),
        pytest.raises(UsageError, match=r"is working on this export"),
    ):
        export(store, "delta", tmp_path / "lake")
    export(store, "delta", tmp_path / "lake")
    assert in_delta(tmp_path / "lake") == stored(store)


@pytest.mark.parametrize(
    "name",
    ["a?b", "a#b", "a:b", "a b", "100%", "%zz", "a'b", 'a"b', "a*b", "{a}", "<a>", "a&b=c;d", "s3:", "ünï 😀"],
)
def test_a_path_with_signs_is_written_and_read(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 1)
    for _ in range(2):
        export(store, "delta", tmp_path / name / "lake")
        assert in_delta(tmp_path / name / "lake") == stored(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "store"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("[a", "["),
        ("a]", "]"),
        ("a|b", "|"),
        ("a^b", "^"),
        ("a\\b", "\\"),
        ("a%41b", "%41"),
        ("%2f", "%2f"),
        ("a\tb", "\\t"),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_a_path_that_delta_cannot_have_is_refused_before_anything_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, found: str, linked: bool
) -> None:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 1)
    output = tmp_path / name / "lake"
    if linked:
        (tmp_path / name).mkdir()
        (tmp_path / "link").symlink_to(tmp_path / name)
        output = tmp_path / "link" / "lake"
    before = sorted(tmp_path.rglob("*"))
    assert export_job([store.root, "--to", "delta", "--output", str(output)]) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: --output ") and said.count("\n") == 1
    assert f" has '{found}' in its path, which Delta Lake cannot have (nor " in said
    assert said.endswith("; rename the folder\n") and sorted(tmp_path.rglob("*")) == before
