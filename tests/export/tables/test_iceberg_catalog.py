"""What --catalog may be, and what is said of a catalogue that cannot be used: by its cause, and without passwords."""

import gzip
import sys
from pathlib import Path
from types import ModuleType

import pytest
from exported_nights import export, in_iceberg, stored, write_nights
from limits import without_privileges
from refused_export import refused_export
from rest_server import rest_server

from artifactscan.errors import UsageError
from artifactscan.export.tables.iceberg_catalog import parse_catalog
from artifactscan.store.layout import Store

NO_URL = "is no URL that SQLAlchemy reads; write the port as a number, and @, / and : in a password as %40, %2F and %3A"
NO_DRIVER = "is not installed; install it, or name another driver, as dialect+driver://"
CONFIGURATION = "PyIceberg's configuration (~/.pyiceberg.yaml)"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


def refused(store: Store, output: Path, catalog: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one sentence, of an export that is refused."""
    flags = [] if catalog is None else ["--catalog", catalog]
    said = refused_export([store.root, "--to", "iceberg", "--output", str(output), *flags], capsys)
    assert "secret" not in said
    return said


FAULTS = [
    ("://x", f"://… {NO_URL}"),
    ("postgresql://anna@host:secret/lake", f"postgresql://… {NO_URL}"),
    (
        "mysql+cymysql://anna:top/secret@host/lake?password=secret",
        f"mysql+cymysql://…@host/lake cannot be used: its driver cymysql {NO_DRIVER}",
    ),
    (
        "postgresql+pg8000:///lake?password=secret",
        f"postgresql+pg8000:///lake cannot be used: its driver pg8000 {NO_DRIVER}",
    ),
    (
        "postgres://anna:secret@host/lake",
        "postgres://…@host/lake cannot be used: SQLAlchemy knows no database by postgres://; PostgreSQL's is "
        f"postgresql://, or name a catalogue in {CONFIGURATION}, where REST, Glue and Hive are",
    ),
    (
        "http://anna:se/secret@host:9000",
        "http://…@host:9000 cannot be used: SQLAlchemy knows no database by http://; give a dialect that SQLAlchemy "
        f"has, or name a catalogue in {CONFIGURATION}, where REST, Glue and Hive are",
    ),
    (
        "sqlite:/lake/catalog.sqlite",
        f"sqlite:/lake/catalog.sqlite cannot be used: {CONFIGURATION} has none of that name; give one that it has, or "
        "an SQLAlchemy URL such as sqlite:////absolute/path/to/catalog.sqlite",
    ),
]


@pytest.mark.parametrize("given", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_catalogue_in_memory_is_refused(
    given: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(store, tmp_path / "lake", given, capsys) == (
        f"catalogue {given} is in memory, and gone with the command; give a file, "
        "sqlite:////absolute/path/to/catalog.sqlite"
    )
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(("given", "said"), FAULTS)
def test_what_is_no_catalogue_is_named_without_its_password(
    given: str, said: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(store, tmp_path / "lake", given, capsys) == f"catalogue {said}"
    assert not (tmp_path / "lake").exists()


def test_a_catalogue_is_shown_as_it_is_given_without_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "catalog:\n  mine:\n    uri: sqlite:////lake/mine.sqlite\n  ours:\n    uri: http://host:secret@x\n"
    (tmp_path / ".pyiceberg.yaml").write_text(config + "  memory:\n    type: in-memory\n  wrong: 3\n")
    monkeypatch.setenv("PYICEBERG_HOME", str(tmp_path))
    shown = {given: (str(found := parse_catalog(given)), found.file) for given in ("sqlite:///a b.db", "mine", "ours")}
    assert shown == {
        "sqlite:///a b.db": ("sqlite:///a b.db", str(Path("a b.db").absolute())),
        "mine": ("mine", "/lake/mine.sqlite"),
        "ours": ("ours", None),
    }
    with pytest.raises(UsageError, match=r"^catalogue memory is in memory, and gone with the command; give a file, "):
        parse_catalog("memory")
    with pytest.raises(UsageError, match=r"^catalogue wrong cannot be used: .*; mend PyIceberg's configuration"):
        parse_catalog("wrong")


def test_a_file_that_is_no_catalogue_is_named_by_its_fault(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, file = tmp_path / "lake", tmp_path / "catalog.sqlite"
    url = f"sqlite:///{file}"
    assert refused(store, lake, f"sqlite:///{tmp_path}", capsys) == (
        f"catalogue {tmp_path} is a folder; give the path of a file"
    )
    assert refused(store, lake, f"sqlite:///{tmp_path}/none/c.sqlite", capsys) == (
        f"catalogue {tmp_path}/none/c.sqlite is in a folder that is not there; make {tmp_path}/none, or give "
        "another file"
    )
    file.write_bytes(b"junk" * 5000)
    assert refused(store, lake, url, capsys) == (
        f"catalogue {url} cannot be used: (sqlite3.DatabaseError) file is not a database; restore it from a copy, or "
        "give another one"
    )
    file.unlink()
    export(store, "iceberg", lake, catalog=url)
    content = file.read_bytes()
    file.write_bytes(content[:5000])
    assert refused(store, lake, url, capsys) == (
        f"catalogue {url} cannot be used: (sqlite3.DatabaseError) database disk image is malformed; restore it from a "
        "copy, or give another one"
    )
    file.write_bytes(content)
    export(store, "iceberg", lake, catalog=url)


def test_a_catalogue_without_the_right_to_write_it_is_named_with_that_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with without_privileges() as folder:
        store, file = Store(str(folder / "store")), folder / "mine" / "c.sqlite"
        file.parent.mkdir()
        write_nights(store, 1)
        file.touch(0o444)
        assert refused(store, folder / "lake", f"sqlite:///{file}", capsys) == (
            f"catalogue sqlite:///{file} cannot be used: {file}: Permission denied; give another place, or get the "
            "right to read and write there"
        )
        file.unlink()
        file.parent.chmod(0o555)
        assert refused(store, folder / "lake", f"sqlite:///{file}", capsys) == (
            f"output {file.parent} cannot be written: Permission denied; give a folder that can be"
        )
        file.parent.chmod(0o755)
        export(store, "iceberg", folder / "lake", catalog=f"sqlite:///{file}")


@pytest.mark.parametrize("damage", ["no JSON", "gone"])
def test_damaged_metadata_of_a_table_names_the_file(
    damage: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "lake"
    export(store, "iceberg", lake)
    file = max((lake / "events" / "metadata").glob("*.metadata.json"))
    content = file.read_bytes()
    other_version = "99999-0d9b6f0e-5c2a-4f0e-9a39-5c5e1f0a7b11.gz.metadata.json"
    (file.parent / other_version).write_bytes(gzip.compress(content))
    file.write_bytes(content[:100])
    if damage == "gone":
        file.unlink()
    said = refused(store, lake, None, capsys)
    assert str(file) in said
    if damage == "gone":
        assert said.endswith("No such file or directory; restore it from a copy, or give another one")
    else:
        assert said.startswith(f"{file} is damaged (Unterminated string starting at: ")
        assert said.endswith("; restore it from a copy, or give another --output")
    file.write_bytes(content)
    export(store, "iceberg", lake)
    assert in_iceberg(lake) == stored(store)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (AttributeError("'NoneType' object has no attribute 'decode'"), "'NoneType' object has no attribute 'decode'"),
        (TypeError("connect() missing 1 required positional argument: 'user'"), "connect() missing 1 required"),
        (KeyError(b"\x00"), "b'"),
    ],
)
def test_a_driver_that_fails_where_a_password_is_asked_for_is_a_sentence(
    raised: Exception,
    said: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As pg8000 does, which is no dependency."""

    def connect(**_: object) -> None:
        raise raised

    driver = ModuleType("pg8000")
    vars(driver).update(__version__="1.31.6", paramstyle="format", Error=OSError, connect=connect)
    monkeypatch.setitem(sys.modules, "pg8000", driver)
    shown = refused(store, tmp_path / "lake", "postgresql+pg8000://me@h/x", capsys)
    assert shown.startswith(f"catalogue postgresql+pg8000://…@h/x cannot be used: its driver pg8000 fails ({said}")
    assert shown.endswith("); check the user and the password that are given for it")


@pytest.mark.parametrize("uri", ["http://[::1", "foo://catalogue", "http://127.0.0.1:99999"])
def test_a_catalogue_by_no_address_is_wrong_usage(
    uri: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(uri, tmp_path, monkeypatch)
    assert refused(store, tmp_path / "lake", "mine", capsys).startswith("catalogue mine cannot be used: ")


def test_a_driver_that_misses_a_password_says_what_to_check(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "server requesting password authentication, but no password was provided"  # pg8000's words

    def connect(**_: object) -> None:
        raise ConnectionError(said)

    driver = ModuleType("pg8000")
    vars(driver).update(__version__="1.31.6", paramstyle="format", connect=connect)
    vars(driver).update(Error=ConnectionError, InterfaceError=ConnectionError)
    monkeypatch.setitem(sys.modules, "pg8000", driver)
    shown = refused(store, tmp_path / "lake", "postgresql+pg8000://me@h/x", capsys)
    assert shown.endswith(f"{said}; check the user and the password that are given for it")


def configure(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives PyIceberg a catalogue named mine, as its configuration does when it is imported."""
    from pyiceberg import catalog
    from pyiceberg.utils.config import Config

    (folder / ".pyiceberg.yaml").write_text(f"catalog:\n  mine:\n    type: rest\n    uri: {uri}\n    token: secret\n")
    monkeypatch.setenv("PYICEBERG_HOME", str(folder))
    monkeypatch.setattr(catalog, "_ENV_CONFIG", Config())


def test_a_catalogue_that_nobody_answers_for_is_to_be_checked_for_its_host(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("http://127.0.0.1:9", tmp_path, monkeypatch)
    said = refused(store, tmp_path / "lake", "mine", capsys)
    assert said.startswith("catalogue mine cannot be used: ")
    assert "Connection refused" in said
    assert said.endswith("; check its host and port, and that it runs there")


@pytest.mark.parametrize(
    ("status", "ending"),
    [(401, "; check the credentials that PyIceberg's configuration has for it"), (500, "ServerError: mine own words")],
)
def test_a_catalogue_that_refuses_is_asked_for_with_other_credentials(
    status: int,
    ending: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with rest_server() as server:
        server.status = status
        server.body = b'{"error": {"message": "mine own words", "type": "ServerError", "code": %d}}' % status
        configure(server.url, tmp_path, monkeypatch)
        said = refused(store, tmp_path / "lake", "mine", capsys)
    assert said.startswith("catalogue mine cannot be used: ")
    assert said.endswith(ending)
