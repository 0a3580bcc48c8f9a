"""The child process that decodes: it reads untrusted bytes, so it holds no secrets and may be killed at any moment.

``child_process.py`` starts it as ``python -m artifactscan.decode.sandbox.child_main CONFIG``; ``protocol.py`` has the
messages.
"""

import json
import math
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from artifactscan.decode.sandbox.protocol import REASON_CHARS, SLOTS, slot_start, unpack_config
from artifactscan.decode.slices import NotSliceableError, Slice
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts, decoders_to_try
from artifactscan.outcomes import Outcome

Sink = Callable[[int, float, np.ndarray], None]
DecodeFunction = Callable[[str, DecodeSettings, Sink, Slice, Sink], VideoFacts]
"""Takes path, settings, the sink of the slice's own frames, the slice, and the sink of the frames around it."""


def main(argument: str) -> None:
    """Decodes what the parent asks for until it closes its end of the pipe."""
    settings, process = unpack_config(argument)
    _exit_with_parent(process["parent"])
    _lower_priority_and_raise_oom_score(process["nice"])
    decoders = _load_decoders(settings)
    memory = _MemoryLimit(settings.limits.child_memory_bytes)

    commands = os.fdopen(process["commands_fd"], "rb")
    channel = _Channel(commands, os.fdopen(process["events_fd"], "wb"), process["pixels_fd"])
    channel.send({"event": "ready"})
    for line in commands:
        command = json.loads(line)
        if "decode" in command:  # otherwise "taken", left over from the video before
            decode, slice = decoders[command["decoder"]], Slice(*command["slice"])
            _decode_one(command["decode"], decode, settings, slice, channel, memory)


class _Channel:
    """The child's ends of the two pipes and the shared file."""

    def __init__(self, commands: BinaryIO, events: BinaryIO, pixels_fd: int):
        self.commands = commands
        self.events = events
        self.pixels_fd = pixels_fd

    def send(self, message: dict[str, Any]) -> None:
        self.events.write(json.dumps(message, allow_nan=False, default=_plain).encode() + b"\n")
        self.events.flush()

    def await_taken(self) -> None:
        if not self.commands.readline():
            sys.exit()  # the parent is gone


class _SegmentSender:
    """Receives a video's sampled frames and sends them to the parent in segments."""

    def __init__(self, settings: DecodeSettings, channel: _Channel):
        self.settings = settings
        self.channel = channel
        self.segments_sent = 0
        self.frame_index: list[int] = []
        self.pts_s: list[float] = []
        self.context: list[bool] = []

    def add_context(self, frame_index: int, pts_s: float, rgb: np.ndarray) -> None:
        """Takes a frame before or after those of the slice."""
        self.add(frame_index, pts_s, rgb, context=True)

    def add(self, frame_index: int, pts_s: float, rgb: np.ndarray, *, context: bool = False) -> None:
        # A full segment waits for the next frame, so that the last one is always sent with the result.
        if len(self.frame_index) == self.settings.segment_frames:
            self.channel.send({"event": "segment", **self.frames()})
            self.segments_sent += 1
            self.frame_index, self.pts_s, self.context = [], [], []
            if self.segments_sent >= SLOTS:
                self.channel.await_taken()
        expected = (self.settings.input.height, self.settings.input.width, 3)
        if rgb.shape != expected or rgb.dtype != np.uint8:
            raise ValueError(f"decoder gave a frame of {rgb.shape} {rgb.dtype}, not {expected} uint8")
        start = slot_start(self.settings, self.segments_sent) + len(self.frame_index) * rgb.nbytes
        _write_all(self.channel.pixels_fd, np.ascontiguousarray(rgb).data.cast("B"), start)
        self.frame_index.append(int(frame_index))
        self.pts_s.append(float(pts_s))
        self.context.append(context)

    def frames(self) -> dict[str, list]:
        frames: dict[str, list] = {"frame_index": self.frame_index, "pts_s": self.pts_s}
        return {**frames, "context": self.context} if any(self.context) else frames


class _MemoryLimit:
    """Limits this process to ``allowance_bytes`` of address space beyond what it uses now."""

    def __init__(self, allowance_bytes: int):
        self.allowance_bytes = allowance_bytes
        self.base_bytes = _address_space_bytes("VmSize")
        self.peak_bytes = self.base_bytes
        if sys.platform == "linux":  # elsewhere RLIMIT_AS is not enforced
            limit = self.base_bytes + allowance_bytes
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def may_be_exceeded(self) -> bool:
        """Whether the last video may have failed for lack of memory, which libav reports as damage.

        True if it used more than every video before it, and more than half of the allowance: the peak does not
        include the allocation that was refused, a frame or two.
        """
        before, self.peak_bytes = self.peak_bytes, _address_space_bytes("VmPeak")
        return self.peak_bytes > before and self.peak_bytes - self.base_bytes > self.allowance_bytes / 2

    def error(self) -> DecodeError:
        mib = self.allowance_bytes >> 20
        return DecodeError(Outcome.CRASHED, f"decoding needed more than the {mib} MiB of memory it may use")


def _decode_one(
    path: str, decode: DecodeFunction, settings: DecodeSettings, slice: Slice, channel: _Channel, memory: _MemoryLimit
) -> None:
    sender = _SegmentSender(settings, channel)
    try:
        result = _try_decode(path, lambda: decode(path, settings, sender.add, slice, sender.add_context), memory)
    except NotSliceableError:
        channel.send({"event": "whole"})
        return
    if memory.may_be_exceeded() and _is_lossy(result):
        result = memory.error()
    if isinstance(result, VideoFacts):
        channel.send({"event": "done", "facts": _without_nan(result), **sender.frames()})
    else:
        failure = {"outcome": result.outcome, "reason": result.reason[:REASON_CHARS]}
        channel.send({"event": "failed", "facts": _without_nan(result.facts), **failure})


def _try_decode(path: str, decode: Callable[[], VideoFacts], memory: _MemoryLimit) -> VideoFacts | DecodeError:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        return DecodeError(Outcome.UNREADABLE, f"the file cannot be opened: {error.strerror}")
    try:
        return decode()
    except NotSliceableError:
        raise
    except DecodeError as error:
        return error
    except MemoryError:
        return memory.error()
    except Exception as error:
        return DecodeError(Outcome.CRASHED, f"the decoder raised {type(error).__name__}: {error}")


def _is_lossy(result: VideoFacts | DecodeError) -> bool:
    if isinstance(result, VideoFacts):
        return result.frames_decoded != result.frames_sampled
    refused = result.facts.decoder == "nvdec"  # pyav comes next, and may fail for lack of memory
    return not refused and result.outcome in (Outcome.UNDECODABLE, Outcome.CRASHED)


def _without_nan(facts: VideoFacts) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(facts).items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _load_decoders(settings: DecodeSettings) -> dict[str, DecodeFunction]:
    """Imports the decoders now, so that their time and address space are not counted against a video."""
    decoders: dict[str, DecodeFunction] = {}
    wanted = decoders_to_try(settings.decoder)
    if "pyav" in wanted:
        from artifactscan.decode.with_pyav import decode_pyav

        decoders["pyav"] = decode_pyav
    if "decord" in wanted:
        import decord  # noqa: F401 - decode_decord would import it at the first video

        from artifactscan.decode.with_decord import decode_decord

        decoders["decord"] = decode_decord
    if "nvdec" in wanted:
        from artifactscan.decode.with_nvdec import load_nvdec

        decoders["nvdec"] = load_nvdec(settings.limits.child_memory_bytes)
    return decoders


def _exit_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent dies, as a hung decoder would not notice."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent died first")


def _lower_priority_and_raise_oom_score(nice: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(nice)
    if sys.platform == "linux":
        # When the machine runs out of memory the kernel should take this process, not a Ray worker.
        Path("/proc/self/oom_score_adj").write_text("1000")


def _address_space_bytes(field: str) -> int:
    if sys.platform != "linux":
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, f"/proc/self/status has no {field}"
    return int(found[1]) << 10


if __name__ == "__main__":
    main(sys.argv[1])
