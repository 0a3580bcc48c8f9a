"""A stand-in for torchcodec 0.17 on a GPU: its "cuda" is this machine's CPU, and PyAV decodes.

The tests put this package first on the child's path. What it has is called as in the real package
(tests/decode/test_with_nvdec.py compares them). Without ``pretend_cuda.py`` there is no GPU.

Faults: Python code in a video, after ``#!nvdec``, or in a file ``fault.py`` beside this one runs when a video is
opened. It may set ``fallback`` (NVDEC does not take the video), ``noise`` (added to the samples of frames from number
``noise_from`` on) and ``lost`` (the number of a frame that does not come out).
"""

from contextlib import suppress

__version__ = "0.17.0"
ffmpeg_major_version = 8

with suppress(ImportError):
    from torchcodec import pretend_cuda  # noqa: F401
