"""The process that decodes: it meets untrusted bytes, so it holds no secrets and may die at any moment.

``process.py`` starts it as ``python -m artifactscan.decode.sandbox.child CONFIG``; ``protocol.py`` has their messages.
"""

import json
import math
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from artifactscan.decode.sandbox.protocol import REASON_CHARS, SLOTS, slot_start, unpack_config
from artifactscan.decode.video import DecodeError, DecodeSettings, NotSliced, Slice, VideoFacts, decoders_of
from artifactscan.outcomes import Outcome

Decode = Callable[[str, DecodeSettings, Callable[[int, float, np.ndarray], None]], VideoFacts]


def main(argument: str) -> None:
    """Decode what the parent asks for until it closes its end."""
    settings, process = unpack_config(argument)
    _die_with(process["parent"])
    _be_the_first_to_go(process["nice"])
    decoders = _load_decoders(settings.decoder)
    memory = _MemoryLimit(settings.limits.child_memory_bytes)

    commands = os.fdopen(process["commands_fd"], "rb")
    channel = _Channel(commands, os.fdopen(process["events_fd"], "wb"), process["pixels_fd"])
    channel.send({"event": "ready"})
    for line in commands:
        command = json.loads(line)
        if "decode" in command:  # else "taken", left over from the video before
            wanted = replace(settings, slice=Slice(*command["slice"]))
            _decode_one(command["decode"], decoders[command["decoder"]], wanted, channel, memory)


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


class _Sink:
    """Receives a video's sampled frames and sends them off as segments."""

    def __init__(self, settings: DecodeSettings, channel: _Channel):
        self.settings = settings
        self.channel = channel
        self.segments_sent = 0
        self.frame_index: list[int] = []
        self.pts_s: list[float] = []

    def __call__(self, frame_index: int, pts_s: float, rgb: np.ndarray) -> None:
        # A full segment waits for the next frame, so that the last one always goes out with the verdict.
        if len(self.frame_index) == self.settings.segment_frames:
            self.channel.send({"event": "segment", **self.frames()})
            self.segments_sent += 1
            self.frame_index, self.pts_s = [], []
            if self.segments_sent >= SLOTS:
                self.channel.await_taken()
        expected = (self.settings.input.height, self.settings.input.width, 3)
        if rgb.shape != expected or rgb.dtype != np.uint8:
            raise ValueError(f"decoder gave a frame of {rgb.shape} {rgb.dtype}, not {expected} uint8")
        start = slot_start(self.settings, self.segments_sent) + len(self.frame_index) * rgb.nbytes
        _write_all(self.channel.pixels_fd, np.ascontiguousarray(rgb).data.cast("B"), start)
        self.frame_index.append(int(frame_index))
        self.pts_s.append(float(pts_s))

    def frames(self) -> dict[str, list[int] | list[float]]:
        return {"frame_index": self.frame_index, "pts_s": self.pts_s}


class _MemoryLimit:
    """Keeps this process from taking more than ``allowance_bytes`` of address space on top of what it has."""

    def __init__(self, allowance_bytes: int):
        self.allowance_bytes = allowance_bytes
        self.base_bytes = _address_space_bytes("VmSize")
        self.peak_bytes = self.base_bytes
        if sys.platform == "linux":  # elsewhere RLIMIT_AS is not enforced
            limit = self.base_bytes + allowance_bytes
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def was_short(self) -> bool:
        """Whether the last video may have failed for want of memory, which libav reports as damage.

        It may if it took more than any before it and more than half of what there is: the peak does not count
        the request that was refused, for a frame or two.
        """
        before, self.peak_bytes = self.peak_bytes, _address_space_bytes("VmPeak")
        return self.peak_bytes > before and self.peak_bytes - self.base_bytes > self.allowance_bytes / 2

    def error(self) -> DecodeError:
        mib = self.allowance_bytes >> 20
        return DecodeError(Outcome.CRASHED, f"decoding needed more than the {mib} MiB of memory it may use")


def _decode_one(path: str, decode: Decode, settings: DecodeSettings, channel: _Channel, memory: _MemoryLimit) -> None:
    sink = _Sink(settings, channel)
    try:
        result = _try(path, decode, settings, sink, memory)
    except NotSliced:
        channel.send({"event": "whole"})
        return
    if memory.was_short() and _is_lossy(result):
        result = memory.error()
    if isinstance(result, VideoFacts):
        channel.send({"event": "done", "facts": _finite(result), **sink.frames()})
    else:
        answer = {"outcome": result.outcome, "reason": result.reason[:REASON_CHARS]}
        channel.send({"event": "failed", "facts": _finite(result.facts), **answer})


def _try(
    path: str, decode: Decode, settings: DecodeSettings, sink: _Sink, memory: _MemoryLimit
) -> VideoFacts | DecodeError:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        return DecodeError(Outcome.UNREADABLE, f"the file cannot be opened: {error.strerror}")
    try:
        return decode(path, settings, sink)
    except NotSliced:
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
    return result.outcome in (Outcome.UNDECODABLE, Outcome.CRASHED)


def _finite(facts: VideoFacts) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(facts).items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not for the wire")


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _load_decoders(choice: str) -> dict[str, Decode]:
    """Import what may be needed now: no video should be charged for the time and address space it takes."""
    decoders: dict[str, Decode] = {}
    wanted = decoders_of(choice)
    if "pyav" in wanted:
        from artifactscan.decode.with_pyav import decode_pyav

        decoders["pyav"] = decode_pyav
    if "decord" in wanted:
        import decord  # noqa: F401

        from artifactscan.decode.with_decord import decode_decord  # it would import decord at the first video

        decoders["decord"] = decode_decord
    return decoders


def _die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies: a hung decoder would never notice by itself."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent died first")


def _be_the_first_to_go(nice: int) -> None:
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
