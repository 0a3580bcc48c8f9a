"""The catalogue of Iceberg tables: an SQL database given by its URL, or one that PyIceberg's configuration names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.table_target import import_package
from artifactscan.messages.text import printable, without_credentials

_FILE = "sqlite:////absolute/path/to/catalog.sqlite"
_CONFIGURATION = "PyIceberg's configuration (~/.pyiceberg.yaml)"


@dataclass(frozen=True)
class CatalogAddress:
    """What --catalog says: an SQLAlchemy URL, or a name in PyIceberg's configuration."""

    given: str
    url: Any
    """The SQLAlchemy URL of a catalogue in an SQL database; None for any other."""

    @property
    def file(self) -> str | None:
        """The path of an SQLite database; None for any other, and for one in memory."""
        if self.url is None or self.url.get_backend_name() != "sqlite":
            return None
        path, query = self.url.database or "", self.url.query
        if "uri" in query:  # SQLite's own: file:PATH?mode=…&uri=true
            path = "" if query.get("mode") == "memory" else path.removeprefix("file:")
        return storage.normalise(path) if path and path != ":memory:" else None

    def __str__(self) -> str:
        """As it is shown, without passwords."""
        return _shown(self.given) if self.file or "://" not in self.given else _shown_url(self.url)

    def open(self, properties: Mapping[str, str]) -> Any:
        """PyIceberg's catalogue. OSError and the errors of PyIceberg and SQLAlchemy; UsageError for a folder."""
        catalogs: Any = import_package("pyiceberg.catalog", "iceberg")
        if self.file:
            _check_file(Path(self.file))
        try:
            if "://" in self.given:
                return catalogs.load_catalog("default", type="sql", uri=self.given, **properties)
            return catalogs.load_catalog(self.given, **properties)
        except (AttributeError, KeyError, TypeError) as error:  # a driver's, such as pg8000's where a password is asked
            if self.url is None:
                raise
            raise UsageError(
                f"catalogue {self} cannot be used: its driver {self.url.get_driver_name()} fails "
                f"({printable(str(error), 100)}); check the user and the password that are given for it"
            ) from error


def parse_catalog(given: str) -> CatalogAddress:
    """UsageError for what is no address, a database whose driver is not installed, and one that is kept in memory."""
    configured = {} if "://" in given else _read_configuration(given)
    uri = str(configured.get("uri", "")) if configured else given
    is_sql = not configured or uri.startswith(("sqlite", "postgresql"))
    address = CatalogAddress(given, _parse_url(uri) if is_sql else None)
    in_memory = is_sql and address.url.get_backend_name() == "sqlite" and address.file is None
    if in_memory or configured.get("type") == "in-memory":
        raise UsageError(f"catalogue {_shown(given)} is in memory, and gone with the command; give a file, {_FILE}")
    return address


def _read_configuration(name: str) -> dict[str, Any]:
    """What PyIceberg's configuration says of a catalogue."""
    config: Any = import_package("pyiceberg.utils.config", "iceberg")
    try:
        found = config.Config().get_catalog_config(name)
    except (ValueError, OSError) as error:
        raise UsageError(f"catalogue {_shown(name)} cannot be used: {error}; mend {_CONFIGURATION}") from None
    if not found:
        raise UsageError(
            f"catalogue {_shown(name)} cannot be used: {_CONFIGURATION} has none of that name; give one that it "
            f"has, or an SQLAlchemy URL such as {_FILE}"
        )
    return found


def _parse_url(uri: str) -> Any:
    """The SQLAlchemy URL of a database whose driver is installed."""
    alchemy: Any = import_package("sqlalchemy", "iceberg")
    errors: Any = import_package("sqlalchemy.exc", "iceberg")
    scheme = printable(uri.partition("://")[0], 40)
    try:
        url = alchemy.make_url(uri)
    except (errors.ArgumentError, ValueError):  # whose words may have a part of a password
        raise UsageError(
            f"catalogue {scheme}://… is no URL that SQLAlchemy reads; write the port as a number, and @, / and : in a "
            "password as %40, %2F and %3A"
        ) from None
    try:
        url.get_dialect().import_dbapi()
    except errors.NoSuchModuleError:
        name = "PostgreSQL's is postgresql://" if scheme == "postgres" else "give a dialect that SQLAlchemy has"
        raise UsageError(
            f"catalogue {_shown_url(url)} cannot be used: SQLAlchemy knows no database by {scheme}://; {name}, or name "
            f"a catalogue in {_CONFIGURATION}, where REST, Glue and Hive are"
        ) from None
    except ImportError as error:
        raise UsageError(
            f"catalogue {_shown_url(url)} cannot be used: its driver {error.name} is not installed; install it, or "
            "name another driver, as dialect+driver://"
        ) from None
    return url


def _check_file(path: Path) -> None:
    """OSError or UsageError for a file of which SQLite says no more than that it is unable to open it."""
    if path.is_dir():
        raise UsageError(f"catalogue {path} is a folder; give the path of a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"catalogue {path} is there and is no regular file; give another path")
    if not path.parent.is_dir():
        raise UsageError(f"catalogue {path} is in a folder that is not there; make {path.parent}, or give another file")
    storage.check_writable(str(path.parent))
    if path.exists():
        path.open("r+b").close()


def _shown(given: str) -> str:
    return printable(without_credentials(given))


def _shown_url(url: Any) -> str:
    """Without its password, and its parameters, of which one may be a password."""
    return _shown(url.set(query={}).render_as_string(hide_password=True))
