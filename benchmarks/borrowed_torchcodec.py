"""torchcodec from a virtual environment of its own, with torch and FFmpeg's libraries from this one."""

import os
import re
from pathlib import Path

_LIBRARIES = re.compile(r"(lib(?:av|sw)\w+)-[0-9a-f]+\.so\.(\d+)")
"""PyAV's copies of FFmpeg's libraries, whose names its wheel has changed."""


def site_packages(environment: Path) -> list[Path]:
    """The folder of that virtual environment that has torchcodec; empty where it has none."""
    return [path.parent for path in environment.glob("lib/python3*/site-packages/torchcodec")]


def torchcodec_environment(environment: Path, links: Path) -> dict[str, str]:
    """Environment variables for a process of this interpreter that imports torchcodec.

    ``links``: an empty folder, where FFmpeg's libraries get the names that torchcodec looks for.
    """
    import av

    bundled = Path(av.__file__).parents[1] / "av.libs"
    for library in bundled.glob("lib*.so.*"):
        if match := _LIBRARIES.match(library.name):
            (links / f"{match[1]}.so.{match[2]}").symlink_to(library)
    python_path = [*map(str, site_packages(environment)), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(python_path),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, (links, bundled))),
    }
