"""Each cause of an error of a library has its own way out; one that is not known has none. Real faults where they are
to be had here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported_nights import READERS, export, in_delta, stored, write_nights
from limits import files_of_at_most, without_privileges
from paths import ROOT
from refused_export import refused_export

from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.tables.library_errors import opening, writing
from artifactscan.jobs.export import main as export_job
from artifactscan.store.layout import Store

USER = "check the user and the password that are given for it"
IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


@pytest.mark.parametrize(
    ("to", "kilobytes"), [("duckdb", 8), ("duckdb", 28), ("delta", 28), ("delta", 40), ("iceberg", 28)]
)
def test_a_full_disk_is_to_be_freed(to: str, kilobytes: int, store: Store, tmp_path: Path) -> None:
    """On a real, small file system. Whether it is full while the target is made or later is the library's affair."""
    if subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a namespace of mounts")
    small = tmp_path / "small"
    small.mkdir()
    export_there = [
        sys.executable,
        "-m",
        "artifactscan",
        "export",
        store.root,
        "--to",
        to,
        "--output",
        f"{small}/target",
    ]
    script = f'mount -t tmpfs -o size={kilobytes}k tmpfs {small} && exec "$@"'
    done = subprocess.run(
        [*IN_A_NAMESPACE, "sh", "-c", script, "sh", *export_there],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
    )
    error = done.stderr.splitlines()[-1]
    assert f"{small}/target" in error or "table artifactscan." in error
    assert "No space left on device" in error or "database or disk is full" in error
    ends = {
        2: "; free some space there, and give the same command again",
        3: "; free some space there; then the same command continues the export",
    }
    assert error.endswith(ends[done.returncode]), error


@pytest.mark.parametrize("to", sorted(READERS))
def test_a_limit_on_the_size_of_files_is_named(
    to: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_of_at_most(1500):
        code = export_job([store.root, "--to", to, "--output", str(tmp_path / "target")])
    said = capsys.readouterr().err.splitlines()[-1]
    if "File too large" in said:
        assert "raise the limit on the size of files (ulimit -f)" in said
    else:  # SQLite does not say it
        assert said.endswith(": (sqlite3.OperationalError) disk I/O error")
    assert code in (2, 3)
    assert export_job([store.root, "--to", to, "--output", str(tmp_path / "target")]) == 0
    assert READERS[to](tmp_path / "target") == stored(store)


@pytest.mark.parametrize("damage", ["no JSON", "cut off", "empty", "no actions", "gone", "first gone"])
def test_a_damaged_delta_log_names_the_file(
    damage: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3, 5):
        export(store, "delta", tmp_path / "lake")
        write_nights(store, 1, first=number)
    log = tmp_path / "lake" / "videos" / "_delta_log"
    file = log / f"{0 if damage in ('first gone', 'empty') else 1:020}.json"
    content = file.read_bytes()
    if damage.endswith("gone"):
        file.unlink()
    else:
        file.write_bytes({"no JSON": b"junk\n", "cut off": content[:50], "empty": b"", "no actions": b"[]\n"}[damage])
    reasons = {
        "no JSON": "is damaged (Expecting value: line 1 column 1 (char 0))",
        "cut off": "is damaged (Unterminated string starting at: line 1 column ",
        "empty": "is damaged (it is empty)",
        "no actions": "is damaged (it holds no actions)",
        "gone": "is gone",
        "first gone": "is gone",
    }
    said = refused_export([store.root, "--to", "delta", "--output", str(tmp_path / "lake")], capsys)
    assert said.startswith(f"{file} {reasons[damage]}")
    assert said.endswith("; restore it from a copy, or give another --output")
    file.write_bytes(content)
    export(store, "delta", tmp_path / "lake")
    assert in_delta(tmp_path / "lake") == stored(store)


def test_a_damaged_checkpoint_of_a_delta_log_is_named(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from deltalake import DeltaTable

    export(store, "delta", tmp_path / "lake")
    DeltaTable(tmp_path / "lake" / "events").create_checkpoint()
    (file,) = (tmp_path / "lake" / "events" / "_delta_log").glob("*.checkpoint.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    said = refused_export([store.root, "--to", "delta", "--output", str(tmp_path / "lake")], capsys)
    assert said.startswith(f"{file} is damaged (")
    assert said.endswith("; restore it from a copy, or give another --output")


def test_a_delta_log_that_may_not_be_read_is_named_with_the_right_that_lacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with without_privileges() as folder:
        store, log = Store(str(folder / "store")), folder / "lake" / "frames" / "_delta_log"
        write_nights(store, 1)
        export(store, "delta", folder / "lake")
        (file,) = log.glob("*1.json")
        file.chmod(0)
        said = refused_export([store.root, "--to", "delta", "--output", str(folder / "lake")], capsys)
        assert said.startswith(f"table {folder}/lake/frames cannot be used: ")
        assert f"Unable to open file {file}: Permission denied" in said
        assert said.endswith("; give another place, or get the right to read and write there")
        assert "\x1b" not in said


def test_a_folder_that_lets_nobody_write_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with without_privileges() as folder:
        store, frames = Store(str(folder / "store")), folder / "lake" / "frames"
        write_nights(store, 1)
        export(store, "delta", folder / "lake")
        write_nights(store, 1, first=1)
        frames.chmod(0o555)
        said = refused_export([store.root, "--to", "delta", "--output", str(folder / "lake")], capsys)
        frames.chmod(0o755)
        assert said == f"output {frames} cannot be written: Permission denied; give a folder that can be"
        assert export_job([store.root, "--to", "delta", "--output", str(folder / "lake")]) == 0


def test_a_log_that_lets_nobody_write_ends_the_writing_with_that_right(capsys: pytest.CaptureFixture[str]) -> None:
    with without_privileges() as folder:
        store, log = Store(str(folder / "store")), folder / "lake" / "frames" / "_delta_log"
        write_nights(store, 1)
        export(store, "delta", folder / "lake")
        write_nights(store, 1, first=1)
        log.chmod(0o555)
        assert export_job([store.root, "--to", "delta", "--output", str(folder / "lake")]) == 3
        log.chmod(0o755)
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"error: writing to table {log.parent} failed: ")
        assert "Permission denied" in said
        assert said.endswith("; get the right to write there; then the same command continues the export")
        assert export_job([store.root, "--to", "delta", "--output", str(folder / "lake")]) == 0


SERVER = 'connection to server at "db" (10.0.0.1), port 5432 failed: '
WORDS = [
    (f"(psycopg2.OperationalError) {SERVER}timeout expired\n", "check its host and port, and that it runs there"),
    (
        f'(psycopg2.OperationalError) {SERVER}FATAL: database "x" does not exist',
        "create that database, or name another one",
    ),
    ("(pymysql.OperationalError) (1049, \"Unknown database 'x'\")", "create that database, or name another one"),
    ("(pymysql.OperationalError) (1045, \"Access denied for user 'anna'@'db'\")", USER),
    (f'(psycopg2.OperationalError) {SERVER}FATAL: password authentication failed for user "anna"', USER),
    (
        "(psycopg2.InsufficientPrivilege) permission denied for schema public\nLINE 2: CREATE",
        "give its user that right",
    ),
    (
        "(pg8000.exceptions.InterfaceError) Can't create a connection to host db and port 5432 (timeout is None)",
        "check its host and port, and that it runs there",
    ),
    ("some new error\nof several lines", None),
]


@pytest.mark.parametrize(("said", "way_out"), WORDS)
def test_each_cause_has_its_own_way_out(said: str, way_out: str | None) -> None:
    """The words of PostgreSQL and MySQL, as their clients give them; no server of these runs in the tests."""
    with pytest.raises(UsageError) as raised, opening("catalogue x", (RuntimeError,)):
        raise RuntimeError(said)
    ending = f"; {way_out}" if way_out else ""
    assert str(raised.value) == f"catalogue x cannot be used: {said.splitlines()[0]}{ending}"


def test_of_several_addresses_the_one_that_answered_is_shown() -> None:
    with pytest.raises(UsageError) as raised, opening("catalogue x", (RuntimeError,)):
        raise RuntimeError(
            '(psycopg2.OperationalError) connection to server at "db" (::1), port 5432 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n"
            f'{SERVER}FATAL:  password authentication failed for user "anna"\n'
        )
    assert str(raised.value) == (
        f'catalogue x cannot be used: {SERVER}FATAL: password authentication failed for user "anna"; {USER}'
    )


def test_an_error_of_writing_whose_cause_is_not_known_is_shown_as_it_is() -> None:
    with pytest.raises(CutOffError) as raised, writing("table x", (RuntimeError,)):
        raise RuntimeError("some new error\nof several lines")
    assert str(raised.value) == "writing to table x failed: some new error; the same command continues the export"
