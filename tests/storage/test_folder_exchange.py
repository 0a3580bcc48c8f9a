"""Two folders exchange their names in one step, or an error says that they cannot."""

import errno
from pathlib import Path

import pytest

from artifactscan.storage import folder_exchange
from artifactscan.storage.folder_exchange import ExchangeUnsupportedError, exchange_folders


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
    return tmp_path / "a", tmp_path / "b"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_has_what_the_other_had(folders: tuple[Path, Path]) -> None:
    exchange_folders(*folders)
    assert [names(folder) for folder in folders] == [["b.txt"], ["a.txt"]]


def test_a_missing_folder_is_an_error(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        exchange_folders(folders[0], folders[1] / "none")
    assert [names(folder) for folder in folders] == [["a.txt"], ["b.txt"]]


def test_a_system_without_the_call_is_an_error_of_its_own(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        """A C library without renameat2."""

    monkeypatch.setattr(folder_exchange.ctypes, "CDLL", lambda *_, **__: Library())
    with pytest.raises(ExchangeUnsupportedError) as raised:
        exchange_folders(*folders)
    assert raised.value.errno == errno.ENOSYS
    assert [names(folder) for folder in folders] == [["a.txt"], ["b.txt"]]
