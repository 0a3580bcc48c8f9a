"""Imported first by a job that is run as a script: finds artifactscan in this checkout where it is not installed.

`ray job submit --working-dir .` brings a checkout to a cluster whose Python has the dependencies only.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run by any Python
    print("error: artifactscan needs Python 3.11 or newer, this is " + sys.version.split()[0], file=sys.stderr)
    sys.exit(2)
if find_spec("artifactscan") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
