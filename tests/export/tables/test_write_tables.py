"""Every committed run is in the target once, as the store has it now, whatever was exported before."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from damaged import damage_pages
from deltalake import DeltaTable, write_deltalake
from exported_nights import HOSTILE, LOWER, READERS, Tables, export, iceberg_table, night, stored, write_nights
from nights import a_night
from parts import THRESHOLDS

from artifactscan.audit.audit_store import AuditStore
from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.tables import delta_target, iceberg_target, table_target, write_tables
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun
from artifactscan.jobs.export import main as export_job
from artifactscan.scoring.flags import flag_anew
from artifactscan.storage.parquet import parquet_files
from artifactscan.store.layout import Store

TARGETS = sorted(READERS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 7)
    return store


def files_of(store: Store) -> dict[str, str]:
    """Path → digest of every file of a store."""
    files = [path for path in Path(store.root).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def in_target(to: str, output: Path) -> Tables:
    return READERS[to](output)


@pytest.mark.parametrize("to", TARGETS)
def test_every_row_is_there_once_however_often_it_is_exported(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, before = tmp_path / "target", files_of(store)
    export(store, to, output)
    assert capsys.readouterr().out.startswith("7 runs written to ")
    assert in_target(to, output) == stored(store)
    assert {row["uri"] for row in in_target(to, output)["frames"]} >= set(HOSTILE)
    export(store, to, output)
    assert "0 runs written to " in (said := capsys.readouterr().out)
    assert said.endswith("7 were there already\n")
    assert in_target(to, output) == stored(store)
    assert files_of(store) == before


@pytest.mark.parametrize("change", ["a row is gone", "rows are there twice"])
@pytest.mark.parametrize("to", TARGETS)
def test_rows_that_somebody_changed_are_put_right(
    to: str, change: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "target"
    export(store, to, output)
    if change == "a row is gone":
        delete_frame(to, output, night(3), frame_index=0)
    else:
        append_frames(to, output, night(3))
    assert in_target(to, output) != stored(store)
    capsys.readouterr()
    export(store, to, output)
    assert capsys.readouterr().out.startswith("1 run renewed in ")
    assert in_target(to, output) == stored(store)


@pytest.mark.parametrize("to", ["delta", "iceberg"])
def test_an_export_that_another_has_overtaken_writes_nothing_twice(
    to: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stood still while it wrote a table, until its lease was taken over."""
    output, target = tmp_path / "target", {"delta": delta_target, "iceberg": iceberg_target}[to]
    open_rows = target.open_rows

    @contextmanager
    def overtaken(table: str, runs: Sequence[StoredRun]) -> Iterator[pa.RecordBatchReader]:
        with open_rows(table, runs) as rows:
            monkeypatch.setattr(target, "open_rows", open_rows)
            (output / "lease.json").unlink()
            export(store, to, output)
            yield rows

    monkeypatch.setattr(target, "open_rows", overtaken)
    with pytest.raises(CutOffError, match=r"^writing to table .*frames failed: "):
        export(store, to, output)
    assert in_target(to, output) == stored(store)


def delete_frame(to: str, output: Path, run: str, frame_index: int) -> None:
    where = f"run = '{run}' AND frame_index = {frame_index}"
    if to == "duckdb":
        with duckdb.connect(str(output)) as database:
            database.execute(f"DELETE FROM frames WHERE {where}")
    elif to == "delta":
        DeltaTable(output / "frames").delete(where)
    else:
        iceberg_table(output, "frames").delete(where)


def append_frames(to: str, output: Path, run: str) -> None:
    """Writes the frames of a run once more."""
    if to == "duckdb":
        with duckdb.connect(str(output)) as database:
            database.execute(f"INSERT INTO frames SELECT * FROM frames WHERE run = '{run}'")
    elif to == "delta":
        rows = DeltaTable(output / "frames").to_pyarrow_table(filters=[("run", "=", run)])
        write_deltalake(output / "frames", rows, mode="append")
    else:
        table = iceberg_table(output, "frames")
        table.append(table.scan(f"run = '{run}'").to_arrow())


@pytest.mark.parametrize("to", TARGETS)
def test_the_next_night_and_other_thresholds_change_what_they_concern(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "target"
    export(store, to, output)
    before = in_target(to, output)
    write_nights(store, 1, first=7)
    flag_anew(store, store.committed()[2], LOWER)
    capsys.readouterr()
    export(store, to, output)
    after = in_target(to, output)
    said = capsys.readouterr().out
    assert said.startswith("1 run written to ")
    assert said.endswith(", 1 renewed; 6 were there already\n")
    assert after == stored(store)
    assert [row for row in before["events"] if row not in after["events"]], "an event of the other thresholds is gone"
    assert {row["run"] for row in after["frames"] if row not in before["frames"]} == {night(7)}


@pytest.mark.parametrize("to", TARGETS)
def test_runs_whose_events_alone_were_computed_anew_are_renewed(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(store, to, tmp_path / "target")
    capsys.readouterr()
    for record in store.committed()[1:]:
        flag_anew(store, record, LOWER)
    export(store, to, tmp_path / "target")
    assert re.fullmatch(r"6 runs renewed in .*; 1 was there already\n", capsys.readouterr().out)
    flag_anew(store, store.committed()[0], LOWER)
    export(store, to, tmp_path / "target")
    assert re.fullmatch(r"1 run renewed in .*; 6 were there already\n", capsys.readouterr().out)
    assert in_target(to, tmp_path / "target") == stored(store)


@pytest.mark.parametrize("to", ["delta", "iceberg"])
def test_a_run_of_which_only_some_tables_were_written_is_not_called_renewed(
    to: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables of these targets have a commit each: a kill between them leaves the frames without the videos."""
    kept = dict(EXPORTED)
    with monkeypatch.context() as patched:
        patched.setattr(write_tables, "EXPORTED", {"frames": kept["frames"]})
        export(store, to, tmp_path / "target")
    capsys.readouterr()
    export(store, to, tmp_path / "target")
    assert re.fullmatch(r"7 runs written to .*; 0 were there already\n", capsys.readouterr().out)
    assert in_target(to, tmp_path / "target") == stored(store)


@pytest.mark.parametrize("to", TARGETS)
def test_thresholds_that_leave_no_event_remove_the_events(to: str, store: Store, tmp_path: Path) -> None:
    output = tmp_path / "target"
    export(store, to, output)
    for record in store.committed():
        flag_anew(store, record, dict.fromkeys(LOWER, 1.0))
    export(store, to, output)
    assert in_target(to, output) == stored(store)
    assert in_target(to, output)["events"] == []


@pytest.mark.parametrize("to", TARGETS)
def test_a_run_that_was_settled_again_replaces_its_rows(to: str, store: Store, tmp_path: Path) -> None:
    output = tmp_path / "target"
    export(store, to, output)
    lost = store.committed()[-1]
    Path(store.run_json(lost.run)).unlink()
    store.discard_tables([lost.run])
    write_nights(store, 1, first=6)
    settled_again = store.committed()[-1]
    store.commit(replace(settled_again, finished="2026-02-01T00:00:00+00:00"))
    export(store, to, output)
    assert in_target(to, output) == stored(store)


@pytest.mark.parametrize("to", TARGETS)
def test_a_run_whose_flags_are_being_computed_waits(to: str, store: Store, tmp_path: Path) -> None:
    output, last = tmp_path / "target", store.committed()[-1]
    store.commit(last.with_flags_by(None))
    with pytest.raises(CutOffError, match=rf"^run {last.run} is left out: its flags are being computed anew"):
        export(store, to, output)
    assert {row["run"] for row in in_target(to, output)["videos"]} == {record.run for record in store.committed()[:-1]}
    store.commit(last)
    export(store, to, output)
    assert in_target(to, output) == stored(store)


@pytest.mark.parametrize("to", TARGETS)
def test_a_target_of_another_store_is_refused(to: str, store: Store, tmp_path: Path) -> None:
    output, other = tmp_path / "target", Store(str(tmp_path / "other"))
    export(store, to, output)
    before = in_target(to, output)
    write_nights(other, 1, first=20)
    with pytest.raises(
        UsageError, match=r"^the target holds 7 runs of another store \(such as 20260101T030000Z-00000000"
    ):
        export(other, to, output)
    assert in_target(to, output) == before


@pytest.mark.parametrize("to", TARGETS)
def test_runs_that_the_store_has_no_more_stay(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, first = tmp_path / "target", store.committed()[0]
    export(store, to, output)
    before = in_target(to, output)
    Path(store.run_json(first.run)).unlink()
    capsys.readouterr()
    export(store, to, output)
    assert "6 were there already, 1 is there that the store does not have" in capsys.readouterr().out
    assert in_target(to, output) == before


@pytest.mark.parametrize(("to", "package"), [("duckdb", "duckdb"), ("delta", "deltalake"), ("iceberg", "pyiceberg")])
def test_a_missing_package_is_one_sentence(
    to: str, package: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def not_installed(module: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(table_target, "import_module", not_installed)
    assert export_job([store.root, "--to", to, "--output", str(tmp_path / "target")]) == 2
    assert capsys.readouterr().err == (
        f"error: --to {to} needs {package}, which is not installed: pip install 'artifactscan[tables]'\n"
    )
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to", "duckdb", "--output", "s3://bucket/x"], "DuckDB writes local files only; give the path of one"),
        (["--to", "delta", "--output", "s3://bucket/x"], "Delta tables are written to local folders only; give one"),
        (["--to", "iceberg", "--output", "s3://bucket/x"], "an object storage, which holds no SQL catalogue; name one"),
        (["--to", "iceberg", "--output", "x", "--catalog", ""], "--catalog is empty; give it a value, or leave it out"),
        (["--to", "webvtt", "--output", "x", "--spec", ""], "--spec is empty; give it a value, or leave it out for"),
        (["--to", "duckdb", "--output", "pipe"], "/pipe is there and is no regular file; give another path"),
        (["--to", "duckdb", "--output", "/dev/null"], "--output /dev/null is there and is no regular file; give an"),
        (["--to", "duckdb", "--output", "a\\b"], "has '\\' in its path, which DuckDB reads as another; rename it"),
        (["--to", "duckdb", "--output", "a\udcff"], "in its path, which DuckDB reads as another; rename it"),
        (
            ["--to", "iceberg", "--output", "x", "--catalog", "sqlite:///pipe"],
            "/pipe is there and is no regular file; give another path",
        ),
        (["--to", "delta", "--output", "x", "--catalog", "y"], "--catalog goes with --to iceberg; leave it out"),
        (["--to", "iceberg", "--output", "x", "--namespace", "a b"], "--namespace 'a b' is no name of a namespace"),
        (["--to", "iceberg", "--output", "x#y"], "which a location of Iceberg cannot have; rename it"),
        (["--to", "iceberg", "--output", "x", "--catalog", "unheard-of"], "catalogue unheard-of cannot be used: "),
        (["--to", "duckdb", "--output", "{store}/x.duckdb"], "lies in the store"),
        (["--to", "delta", "--output", "link/x"], "--output link/x lies in the store"),
        (["--to", "views", "--output", "x", "--namespace", "y"], "--namespace goes with --to iceberg; leave it out"),
        (
            ["--to", "iceberg", "--output", "x", "--spec", "y"],
            "--spec goes with --to fiftyone, label-studio, cvat, webvtt; leave it out with --to iceberg",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(
    flags: list[str],
    said: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(store.root)
    os.mkfifo(tmp_path / "pipe")
    before = files_of(store)
    assert export_job([store.root, *(flag.format(store=store.root) for flag in flags)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert files_of(store) == before


@pytest.mark.parametrize("table", EXPORTED)
@pytest.mark.parametrize("to", TARGETS)
def test_a_table_with_a_damaged_page_is_named(
    to: str, table: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = parquet_files(getattr(store, table)(night(2)))[0]
    damage_pages(file)
    assert export_job([store.root, "--to", to, "--output", str(tmp_path / "target")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]  # after how long it has taken, where that is over a second
    assert said.startswith(f"error: table {file} is damaged or cut off (")
    assert said.endswith("); restore it from a copy")


@pytest.mark.parametrize("to", TARGETS)
def test_a_store_without_a_committed_run_leaves_no_target(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in store.run_ids():
        Path(store.run_json(run)).unlink()
    assert export_job([store.root, "--to", to, "--output", str(tmp_path / "target")]) == 2
    assert capsys.readouterr().err == (
        f"error: {store.root} has no committed run; let `artifactscan score` finish first\n"
    )
    assert not (tmp_path / "target").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_job([str(tmp_path), "--to", "duckdb", "--output", str(tmp_path / "x.duckdb")]) == 2
    assert "has neither nights nor runs; give the folder an audit or a scoring wrote" in capsys.readouterr().err


@pytest.mark.parametrize("to", TARGETS)
def test_the_scores_of_an_audit_are_those_below_its_store(to: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "audit" / "scores"))
    write_nights(store, 2)
    assert export_job([str(tmp_path / "audit"), "--to", to, "--output", str(tmp_path / "target")]) == 0
    assert in_target(to, tmp_path / "target") == stored(store)


@pytest.mark.parametrize("to", [*TARGETS, "views"])
def test_an_audit_whose_pages_are_by_other_thresholds_is_told(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditStore(str(tmp_path / "audit"))
    write_nights(audit.scores, 2)
    command = [audit.root, "--to", to, "--output", str(tmp_path / "target")]
    clause = "; events and frames_over are by the scoring's thresholds, not by the audit's ("
    same = a_night(thresholds=dict(THRESHOLDS))
    audit.commit(same)
    assert export_job(command) == 0
    assert clause not in capsys.readouterr().out
    audit.commit(replace(same, thresholds={**THRESHOLDS, "motion": 0.125, "object": 0.75}))
    assert export_job(command) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"{clause}motion 0.5 and not 0.125, object 0.5 and not 0.75)\n")
    audit.commit(replace(same, events={"min_frames": 2}))
    assert export_job(command) == 0
    assert capsys.readouterr().out.endswith(f"{clause}other settings of events)\n")
    audit.commit(replace(same, spec_digest="another", thresholds=dict.fromkeys(THRESHOLDS, 0.9)))
    assert export_job(command) == 0
    assert clause not in capsys.readouterr().out


@pytest.mark.parametrize("to", ["delta", "iceberg", "views"])
@pytest.mark.parametrize("place", ["a file", "a broken link", "a long name"])
def test_a_place_that_cannot_be_a_folder_is_one_sentence(
    place: str, to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / ("x" * 300 if place == "a long name" else "target")
    if place == "a file":
        output.touch()
    elif place == "a broken link":
        output.symlink_to(tmp_path / "gone")
    assert export_job([store.root, "--to", to, "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: output {output} cannot be written: ")
    assert error.count("\n") == 1


def test_tables_of_a_catalogue_that_lie_elsewhere_are_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = ("--catalog", f"sqlite:///{tmp_path}/c.sqlite")
    assert export_job([store.root, "--to", "iceberg", "--output", str(tmp_path / "a"), *catalog]) == 0
    assert export_job([store.root, "--to", "iceberg", "--output", str(tmp_path / "b"), *catalog]) == 2
    assert f"lies in file://{tmp_path}/a/frames, not in --output {tmp_path}/b" in capsys.readouterr().err
