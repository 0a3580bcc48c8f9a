"""Whether this machine has a GPU, found without torch, which may be built for none."""

import os
from pathlib import Path

_DEVICES = Path("/dev")


def has_gpu() -> bool:
    """Whether the system shows an NVIDIA GPU that CUDA_VISIBLE_DEVICES does not hide."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip()
    return visible not in ("", "-1", "NoDevFiles") and any(_DEVICES.glob("nvidia[0-9]*"))
