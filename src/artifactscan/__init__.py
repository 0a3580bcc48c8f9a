"""artifactscan finds four kinds of visual artifacts in AI-generated video: a batch-scoring job on Ray.

The public interface is what this module lists in `__all__`; every other module may change without notice.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run by any Python
    _NEEDS = "artifactscan needs Python 3.11 or newer, this is " + sys.version.split()[0]
    if sys.argv[:1] != ["-m"]:  # what it is while `python -m artifactscan` is being found
        raise ImportError(_NEEDS)
    print("error: " + _NEEDS, file=sys.stderr)
    sys.exit(2)

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artifactscan.api import DataFrames, Frames, Scores, sample_frames, score
    from artifactscan.decode.input_spec import InputSpec
    from artifactscan.decode.video import DecodeError
    from artifactscan.errors import ArtifactscanError, CutOffError, LedgerError, UsageError
    from artifactscan.labels import LABELS
    from artifactscan.model.checkpoint import Checkpoint, load_checkpoint
    from artifactscan.model.classifier import Classifier

__version__ = "0.1.0"

__all__ = [
    "LABELS",
    "ArtifactscanError",
    "Checkpoint",
    "Classifier",
    "CutOffError",
    "DataFrames",
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


_MODULES = {
    "artifactscan.api": ("DataFrames", "Frames", "Scores", "sample_frames", "score"),
    "artifactscan.decode.input_spec": ("InputSpec",),
    "artifactscan.decode.video": ("DecodeError",),
    "artifactscan.errors": ("ArtifactscanError", "CutOffError", "LedgerError", "UsageError"),
    "artifactscan.labels": ("LABELS",),
    "artifactscan.model.checkpoint": ("Checkpoint", "load_checkpoint"),
    "artifactscan.model.classifier": ("Classifier",),
}
"""Module → the public names that it defines."""


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `import artifactscan` loads neither torch nor Ray."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'artifactscan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
