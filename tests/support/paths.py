"""Where the tests find the repository, and the real clips beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIMS = ROOT / "tests" / "shims"
SHARED = ROOT.parent / "shared"
