"""Whether this machine has a GPU, found without torch, which may be built for none."""

import os
from pathlib import Path

_DEVICES = Path("/dev")
_NAMES = ("nvidia[0-9]*", "dxg")
"""Of the device files of NVIDIA's driver, on Linux and in a Linux on Windows."""


def has_gpu() -> bool:
    """Whether the system shows an NVIDIA GPU that CUDA_VISIBLE_DEVICES does not hide."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip()
    return visible not in ("", "-1", "NoDevFiles") and any(path for name in _NAMES for path in _DEVICES.glob(name))
