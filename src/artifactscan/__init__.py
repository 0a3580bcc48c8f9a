"""artifactscan finds four kinds of visual artifacts in AI-generated video: a batch-scoring job on Ray.

The public interface is what this module lists in `__all__`; every other module may change without notice.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run by any Python
    print("error: artifactscan needs Python 3.11 or newer, this is " + sys.version.split()[0], file=sys.stderr)
    sys.exit(2)

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artifactscan.api import (
        LABELS,
        ArtifactscanError,
        Checkpoint,
        Classifier,
        CutOffError,
        DecodeError,
        Frames,
        InputSpec,
        LedgerError,
        Scores,
        UsageError,
        load_checkpoint,
        sample_frames,
        score,
    )

__version__ = "0.1.0"

__all__ = [
    "LABELS",
    "ArtifactscanError",
    "Checkpoint",
    "Classifier",
    "CutOffError",
    "DecodeError",
    "Frames",
    "InputSpec",
    "LedgerError",
    "Scores",
    "UsageError",
    "__version__",
    "load_checkpoint",
    "sample_frames",
    "score",
]


def __getattr__(name: str) -> Any:
    """Imports the public interface when it is first used: a decoding process loads no torch for it."""
    if name not in __all__:
        raise AttributeError(f"module 'artifactscan' has no attribute {name!r}")
    return getattr(import_module("artifactscan.api"), name)


def __dir__() -> list[str]:
    return __all__
