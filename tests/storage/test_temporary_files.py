"""Files that are not complete are known by their names."""

from pathlib import Path

import pytest

from artifactscan.storage.temporary_files import is_temporary_name, temporary_path


def test_a_temporary_file_lies_beside_its_target_under_a_name_of_its_own() -> None:
    first, second = (temporary_path(Path("/out/table.parquet")) for _ in range(2))
    assert first.parent == second.parent == Path("/out")
    assert first != second
    assert is_temporary_name(first.name) and is_temporary_name(second.name)


@pytest.mark.parametrize(
    "name", [".hidden", ".0123456789abcdef", "0123456789abcdef.tmp", ".0123456789ABCDEF.tmp", ".a.tmp"]
)
def test_other_names_are_not_taken_for_it(name: str) -> None:
    assert not is_temporary_name(name)
