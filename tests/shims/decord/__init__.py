"""decord with a vulnerability for tests: Python code in a video, after ``#!fault``, runs in the decoding process.

The tests put this package first on the child's path. It imports the real decord and replaces its VideoReader. The code
can use ``events_fd`` and ``pixels_fd``, the child's ends of the protocol.
"""

import importlib
import json
import sys
from pathlib import Path

_SHIMS = str(Path(__file__).parent.parent)

sys.path = [entry for entry in sys.path if entry != _SHIMS]
del sys.modules["decord"]
_real = importlib.import_module("decord")


class VideoReader(_real.VideoReader):
    def __init__(self, path, *args, **kwargs):
        _, found, source = Path(path).read_bytes().partition(b"#!fault")
        if found:
            config = json.loads(sys.argv[1])
            names = {name: config[name] for name in ("events_fd", "pixels_fd")}
            exec(compile(source, "fault", "exec"), names)
        super().__init__(path, *args, **kwargs)


_real.__dict__["VideoReader"] = VideoReader
