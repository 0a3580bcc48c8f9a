"""The licences of what is installed: a table, and exit code 1 where one is not allowed. `make sbom` runs it.

    python deploy/licences.py build/licences.md

Read from the packages' own metadata. docs/licences.md says what is behind the special cases.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "LLVM-exception",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Zlib",
    }
)
"""SPDX names. All but MPL-2.0 ask for notices only; MPL-2.0 asks to publish changes to its own files."""

SPECIAL = {
    "nvidia-": ("NVIDIA", "CUDA's libraries, which torch loads: redistributable as they are, under NVIDIA's terms"),
    "cuda-toolkit": ("NVIDIA", "names the CUDA libraries and holds none"),
    "av": ("BSD-3-Clause, in wheels with GPL-2.0-or-later and LGPL-3.0-or-later", "FFmpeg with x264 and x265"),
    "decord": ("Apache-2.0, in wheels with an FFmpeg not to be redistributed", "installed from PyPI, not passed on"),
    "torchcodec": ("BSD-3-Clause", "its metadata names no licence; its wheels hold NVIDIA's nvJPEG"),
    "opencv-python-headless": ("Apache-2.0, in wheels with LGPL-2.1-or-later", "FFmpeg"),
    "python-crontab": ("LGPL-3.0", "a tool of the tests, not shipped"),
    "axe-playwright-python": ("MIT, with axe-core under MPL-2.0", "a tool of the tests, not shipped"),
    "daft": ("Apache-2.0", "a peer in `make bench`, not shipped; its metadata names no licence"),
}
"""Packages, or with - at the end families of them, that are allowed whatever their metadata says, and why."""

_WORDS = {
    r"apache( software)?( license)?(,? version)?( 2\.0)?": "Apache-2.0",
    r"(3-clause )?bsd( license)?|new bsd( license)?": "BSD-3-Clause",
    r"mit( license)?": "MIT",
    r"mozilla public license 2\.0( \(mpl 2\.0\))?": "MPL-2.0",
    r"python software foundation license|psf": "PSF-2.0",
}
"""What packages without an SPDX expression write; of BSD they do not say which, and both ask for the same."""
_NO_LICENCE = {"DFSG approved", "OSI Approved"}


def licence(package: Distribution) -> str:
    """An SPDX expression, as far as the metadata of ``package`` give one; UNKNOWN where they say nothing."""
    if special := _special(name_of(package)):
        return special[0]
    metadata = package.metadata
    if expressions := metadata.get_all("License-Expression"):
        return expressions[0]
    classified = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if "License ::" in line]
    said = [words for words in classified if words not in _NO_LICENCE] or metadata.get_all("License") or ["UNKNOWN"]
    return " AND ".join(sorted({_spdx(words) for words in said}))


def is_allowed(expression: str) -> bool:
    """Whether one side of an OR, and all that AND joins, is in ALLOWED; of what nests both, every part must be."""
    nested = "(" in expression
    choices = [expression.strip("()")] if nested else re.split(r"\s+OR\s+", expression)
    split = r"[\s()]+(?:AND|WITH|OR)[\s()]+" if nested else r"\s+(?:AND|WITH)\s+"
    return any(all(part in ALLOWED for part in re.split(split, choice)) for choice in choices)


def refused(packages: Iterable[Distribution]) -> list[str]:
    """One line for each package whose licence is not allowed."""
    found = ((name_of(package), licence(package)) for package in packages)
    return [f"{name}: {terms}" for name, terms in found if not (_special(name) or is_allowed(terms))]


def direct() -> list[Requirement]:
    """The project's own dependencies, without its extras."""
    lines = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    return [Requirement(line) for line in lines]


def runtime() -> list[Distribution]:
    """What a user gets: the project's dependencies and all that they bring here."""
    wanted, seen, found = direct(), set(), {}
    while wanted:
        requirement = wanted.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen or not _is_for_here(requirement):
            continue
        seen.add(key)
        package = found[key[0]] = distribution(requirement.name)
        for needed in map(Requirement, package.requires or ()):
            if any(_is_for_here(needed, extra) for extra in ("", *requirement.extras)):
                needed.marker = None  # it holds here, with an extra that the next round does not know
                wanted.append(needed)
    return list(found.values())


def _is_for_here(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def table(packages: Iterable[Distribution]) -> str:
    """Markdown: a row for each licence, with the packages under it."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for package in packages:
        rows[licence(package)].append(name_of(package))
    lines = [f"| {terms} | {', '.join(sorted(names))} |" for terms, names in sorted(rows.items())]
    return "\n".join(["| licence | packages |", "|---|---|", *lines]) + "\n"


def installed() -> Iterator[Distribution]:
    """Every package of this environment once, without the project itself."""
    yield from {name: package for package in distributions() if (name := name_of(package)) != "artifactscan"}.values()


def name_of(package: Distribution) -> str:
    return canonicalize_name(package.metadata["Name"])


def _special(name: str) -> tuple[str, str] | None:
    return next((why for key, why in SPECIAL.items() if name == key or (key[-1] == "-" and name.startswith(key))), None)


def _spdx(words: str) -> str:
    words = words.strip().splitlines()[0]
    return next((spdx for pattern, spdx in _WORDS.items() if re.fullmatch(pattern, words, re.IGNORECASE)), words)


def main(path: str) -> int:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f"# With artifactscan comes\n\n{table(runtime())}\n# Installed in all, with the tools\n\n{table(installed())}"
    )
    wrong = refused(installed())
    for line in wrong:
        print(f"not an allowed licence: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
