"""Helpers for tests of `--decoder nvdec` with the stand-in for torchcodec, which needs no GPU."""

import shutil
from dataclasses import replace
from pathlib import Path

from isolated import LIMITS, SETTINGS
from paths import SHIMS

STAND_IN = SHIMS / "nvdec"
NVDEC = replace(SETTINGS, decoder="nvdec", segment_frames=64, limits=replace(LIMITS, video_timeout_s=30))
"""Segments of a whole clip."""


def stand_in_with(folder: Path, *, fault: str = "", gpu: bool = True) -> Path:
    """A copy of the stand-in in ``folder`` that runs ``fault`` when it opens a video, or finds no GPU."""
    shutil.copytree(STAND_IN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if fault:
        (folder / "torchcodec" / "fault.py").write_text(fault)
    if not gpu:
        (folder / "torchcodec" / "pretend_cuda.py").unlink()
    return folder


def hide(path: Path, fault: str) -> Path:
    """Hides a fault of the stand-in in an mp4, in a box that players skip."""
    hidden = b"#!nvdec\n" + fault.encode() + b"\n"
    path.write_bytes(path.read_bytes() + (8 + len(hidden)).to_bytes(4, "big") + b"free" + hidden)
    return path
