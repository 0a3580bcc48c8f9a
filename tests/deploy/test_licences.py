"""What is installed is under licences that are allowed, and docs/licences.md says the truth of it."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from paths import ROOT

sys.path.insert(0, str(ROOT / "deploy"))
from licences import direct, installed, is_allowed, licence, refused, runtime

ROWS = {
    terms: names.split(", ")
    for terms, names in re.findall(
        r"^\| (?!licence|-)(.+?) \| (.+?) \|$", (ROOT / "docs/licences.md").read_text(), re.M
    )
}
DOCUMENTED = {name: terms for terms, names in ROWS.items() for name in names}


class Package(Distribution):
    """One whose metadata are ``lines``."""

    def __init__(self, *lines: str):
        self.lines = lines

    def read_text(self, filename: str) -> str | None:
        return "\n".join(["Metadata-Version: 2.4", "Name: some", *self.lines]) if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        raise FileNotFoundError(path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["License-Expression: MIT AND PSF-2.0", "License: whatever"], "MIT AND PSF-2.0"),
        (["License: Apache 2.0"], "Apache-2.0"),
        (["License: BSD", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["Classifier: License :: OSI Approved", "License: MIT"], "MIT"),
        (
            [
                "Classifier: License :: OSI Approved :: BSD License",
                "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            ],
            "BSD-3-Clause AND GNU General Public License v3 (GPLv3)",
        ),
        (["Summary: none"], "UNKNOWN"),
    ],
)
def test_the_licence_is_read_from_the_metadata(lines: list[str], expected: str) -> None:
    assert licence(Package(*lines)) == expected


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception AND BSD-2-Clause", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", True),
        ("AGPL-3.0-or-later", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_what_is_allowed(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed


def test_what_is_refused_is_named() -> None:
    assert refused([Package("License-Expression: GPL-3.0-only"), Package("License: MIT")]) == ["some: GPL-3.0-only"]


def test_all_that_is_installed_is_allowed() -> None:
    assert refused(installed()) == []


def test_the_document_has_every_direct_dependency() -> None:
    assert {canonicalize_name(requirement.name) for requirement in direct()} <= set(DOCUMENTED)


def test_the_document_has_what_comes_with_them_under_its_licence() -> None:
    found = {canonicalize_name(package.metadata["Name"]): licence(package) for package in runtime()}
    assert {name: DOCUMENTED.get(name) for name in found} == found


def test_the_document_names_nothing_that_is_not_locked() -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert set(DOCUMENTED) - {"setuptools"} <= {canonicalize_name(name) for name in locked}


def libraries(package: str, pattern: str) -> Iterator[Path]:
    """Shared libraries in the wheel of ``package``; the test skips where it brings none, as on another platform."""
    files = importlib.metadata.files(package) or ()
    found = [Path(str(file.locate())) for file in files if re.search(pattern, file.name)]
    if not found:
        pytest.skip(f"the wheel of {package} for this platform brings no {pattern}")
    yield from found


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("av", b"LGPL version 3 or later"),
        ("decord", b"nonfree and unredistributable"),
        ("opencv-python-headless", b"LGPL version 2.1 or later"),
    ],
)
def test_what_the_document_says_of_ffmpeg_in_wheels(package: str, says: bytes) -> None:
    for library in libraries(package, r"libavcodec"):
        assert says in library.read_bytes()
    assert says.decode() in (ROOT / "docs/licences.md").read_text()


@pytest.mark.parametrize("library", ["libx264", "libx265"])
def test_av_brings_encoders_under_the_gpl(library: str) -> None:
    assert [path.name for path in libraries("av", library)]


def test_the_command_fails_on_what_is_not_allowed(tmp_path: Path) -> None:
    package = tmp_path / "some-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: some\nVersion: 1.0\nLicense-Expression: AGPL-3.0-only\n"
    )
    command = [sys.executable, str(ROOT / "deploy/licences.py"), str(tmp_path / "licences.md")]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)})
    assert (ran.returncode, ran.stderr) == (1, "not an allowed licence: some: AGPL-3.0-only\n")
    assert "| AGPL-3.0-only | some |" in (tmp_path / "licences.md").read_text()
