"""What is said of a disk that is full: the path, and the file system. On a real, small file system."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artifactscan.storage import storage_errors
from artifactscan.storage.write_errors import describe_full, named_write_errors

IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
FILL = """
import sys
from artifactscan import storage
from artifactscan.storage.storage_errors import as_cut_off_errors
with as_cut_off_errors():
    try:
        storage.write_bytes(sys.argv[1] + "/store/parts/part.parquet", b"x" * 2_000_000)
    except OSError as error:
        assert error.errno == 28
        raise
"""


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a namespace of mounts")


def test_a_full_disk_is_named_with_the_path(tmp_path: Path) -> None:
    script = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec "$0" -c "$1" {tmp_path}'
    command = [*IN_A_NAMESPACE, "sh", "-c", script, sys.executable, FILL]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        f"artifactscan.errors.CutOffError: the run was cut off: {tmp_path}/store/parts/part.parquet: No space left on "
        f"device; the file system at {tmp_path} is full; the same command continues it"
    )


def test_an_error_that_names_a_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, named_write_errors(tmp_path / "other"):
        (tmp_path / "none" / "file").open("wb")
    assert raised.value.filename == str(tmp_path / "none" / "file")


def test_other_errors_of_writing_name_the_path_alone(tmp_path: Path) -> None:
    said = rf"^\[Errno 27\] {re.escape(str(tmp_path))}: File too large$"
    with pytest.raises(OSError, match=said), named_write_errors(tmp_path):
        raise OSError(errno.EFBIG, "File too large")
    assert describe_full(OSError(errno.EFBIG, "File too large"), tmp_path) == ""


def test_the_error_of_making_a_folder_says_what_is_full(tmp_path: Path) -> None:
    said = storage_errors.describe(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a" / "b")))
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))}/a/b: No space left on device; the file system at (/\S*) is full", said
    )
    assert Path(said.split()[-3]).is_mount()
