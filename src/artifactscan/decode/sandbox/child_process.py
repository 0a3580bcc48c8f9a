"""The parent's side of one decoding process: starts it, exchanges messages with it, and kills it."""

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from artifactscan.decode.sandbox.protocol import (
    REASON_CHARS,
    ProtocolError,
    SegmentMessage,
    frame_bytes,
    max_line_bytes,
    pack_config,
    parse_failure,
    parse_line,
    parse_segment,
    shared_bytes,
    slot_start,
)
from artifactscan.decode.slices import WHOLE, NotSliceableError, Slice
from artifactscan.decode.video import DecodeError, DecodeSettings
from artifactscan.outcomes import Outcome

START_TIMEOUT_S = 120.0
"""For a child to become ready, which takes 0.2 s on an idle machine."""
STDERR_BYTES = 4096
"""Bytes kept of the end of the child's stderr."""

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_GPU_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
"""By which Ray gives a decoder its GPU."""
_HOME = Path(__file__).resolve().parents[3]
"""Where artifactscan is imported from."""
_OUT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")
_PIPE_BYTES = 1 << 16


class ChildProcess:
    """A running child with the parent's ends of its pipes.

    Raises DecodeError of outcome ``crashed`` when it dies or breaks the protocol, TimeoutError when time is up.
    """

    def __init__(self, settings: DecodeSettings, nice: int):
        self._settings = settings
        self._slice = WHOLE
        self._unread = bytearray()
        self._stderr_tail = bytearray()
        self._ready = False
        self._stderr_open = True

        self._pixels = _anonymous_file(shared_bytes(settings))
        commands, self._commands = _pipe()
        self._events, events = _pipe()
        with commands, events:
            inherited = (commands.fileno(), events.fileno(), self._pixels.fileno())
            config = pack_config(
                settings,
                nice=nice,
                parent=os.getpid(),
                commands_fd=inherited[0],
                events_fd=inherited[1],
                pixels_fd=inherited[2],
            )
            self._process = subprocess.Popen(
                # -P: not to import, say, a json.py from the working directory
                [sys.executable, "-P", "-m", "artifactscan.decode.sandbox.child_main", config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=inherited,
                env=_child_environment(),
                cwd=None if _working_directory() else "/",  # libraries ask where they are as they are imported
                start_new_session=True,
            )
        self.pid = self._process.pid
        assert self._process.stderr is not None
        self._stderr = self._process.stderr
        self._poller = select.poll()
        for stream in (self._commands, self._events, self._stderr):
            os.set_blocking(stream.fileno(), False)
        for stream in (self._events, self._stderr):
            self._poller.register(stream, select.POLLIN)

    def await_ready(self) -> None:
        """Waits until it has started; if it has already, checks that it is still alive."""
        if self._ready:
            if self._process.poll() is not None:
                raise DecodeError(Outcome.CRASHED, self._exit_reason())
        elif self._receive(START_TIMEOUT_S) != {"event": "ready"}:
            raise ProtocolError("another message before it was ready")
        self._ready = True

    def begin(self, path: str, decoder: str, slice: Slice = WHOLE) -> None:
        """Starts decoding a video with ``pyav``, ``decord`` or ``nvdec``; ``segments`` yields what comes out."""
        self._drain_stderr()
        self._stderr_tail.clear()
        self._slice = slice
        self._send({"decode": path, "decoder": decoder, "slice": [slice.number, slice.of]})

    def segments(self, left_s: Callable[[], float]) -> Iterator[tuple[SegmentMessage, bytes]]:
        """Yields the segments of the current video with their pixels, the last one with the video's facts.

        ``left_s`` returns the seconds left. Also raises the decoder's own DecodeError, and NotSliceableError.
        """
        index = 0
        last_frame = -1
        while True:
            message = self._receive(left_s())
            if message.get("event") == "failed":
                raise parse_failure(message)
            if message == {"event": "whole"} and not index and self._slice != WHOLE:
                raise NotSliceableError
            segment = parse_segment(message, self._settings.segment_frames, last_frame)
            yield segment, self._take_pixels(index, len(segment.frame_index))
            if segment.facts is not None:
                return
            last_frame = segment.frame_index[-1]
            index += 1

    def _take_pixels(self, index: int, frames: int) -> bytes:
        size = frames * frame_bytes(self._settings)
        pixels = os.pread(self._pixels.fileno(), size, slot_start(self._settings, index))
        if len(pixels) != size:  # the child truncated the file; reading a mapped one would be fatal here
            raise ProtocolError("the shared file is too short")
        self._send({"taken": index})
        return pixels

    def stderr_text(self) -> str:
        """The last STDERR_BYTES that the child wrote to stderr since the current video began."""
        return self._stderr_tail.decode(errors="replace").strip()

    def kill(self) -> None:
        """Kills the child and all its child processes, reaps it, and closes the pipes."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # it may be stuck in the kernel, on a dead disk
                self._process.wait(10)
        for stream in (self._commands, self._events, self._stderr, self._pixels):
            stream.close()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with suppress(BrokenPipeError):  # the child is dead, which _receive reports
            if self._commands.write(line) != len(line):
                raise DecodeError(Outcome.CRASHED, "the decoding process does not read its commands")

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        """The next message; raises TimeoutError once time is up, even if a message is waiting."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            end = self._unread.find(b"\n")
            if end >= 0:
                line = bytes(self._unread[:end])
                del self._unread[: end + 1]
                return parse_line(line)
            if len(self._unread) > max_line_bytes(self._settings):
                raise ProtocolError("a line is too long")
            for fd, _ in self._poller.poll(math.ceil(left_s * 1000)):
                if fd == self._stderr.fileno():
                    self._drain_stderr()
                elif data := self._events.read(_PIPE_BYTES):
                    self._unread += data
                else:
                    raise DecodeError(Outcome.CRASHED, self._exit_reason())
        raise TimeoutError

    def _drain_stderr(self) -> None:
        data = self._stderr.read(_PIPE_BYTES)
        if data:
            self._stderr_tail = (self._stderr_tail + data)[-STDERR_BYTES:]
        elif data == b"" and self._stderr_open:  # closed: poll would return at once for ever
            self._stderr_open = False
            self._poller.unregister(self._stderr)

    def _exit_reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._drain_stderr()
        stderr = self.stderr_text()
        code = self._process.returncode
        if any(sign in stderr for sign in _OUT_OF_MEMORY):
            mib = self._settings.limits.child_memory_bytes >> 20
            return f"the decoding process died at its memory limit of {mib} MiB"
        if code is None:
            return "the decoding process closed its channel"
        if code == -signal.SIGKILL:
            return "the decoding process was killed by SIGKILL, as a system short of memory does"
        how = f"died of {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        last_line = f": {stderr.splitlines()[-1][:REASON_CHARS]}" if stderr else ""
        return f"the decoding process {how}{last_line}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals but the first and last have no name
        return f"signal {number}"


def _child_environment() -> dict[str, str]:
    """Only the variables that a decoder needs: the parent's environment may hold credentials."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT + _GPU_ENVIRONMENT if name in os.environ}
    import_path = os.pathsep.join(_import_path())
    # A child uses one core: thread pools and malloc arenas would only cost start-up time and address space.
    return {**kept, "PYTHONPATH": import_path, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _import_path() -> list[str]:
    """This process's sys.path without its working directory, from which ``-P`` keeps the child as well.

    It stays where artifactscan itself is imported from there.
    """
    working_directory = _working_directory()
    if working_directory is None:  # nothing can be imported from it, nor from paths relative to it
        return [entry for entry in sys.path if Path(entry).is_absolute()]
    entries = [Path(entry).absolute() for entry in sys.path]
    return [str(entry) for entry in entries if entry.resolve() != working_directory or entry.resolve() == _HOME]


def _working_directory() -> Path | None:
    """None where it was removed."""
    try:
        return Path.cwd().resolve()
    except FileNotFoundError:
        return None


def _pipe() -> tuple[FileIO, FileIO]:
    """The reading and the writing end, unbuffered; closed by the garbage collector at the latest."""
    reading, writing = os.pipe()
    return FileIO(reading, "rb"), FileIO(writing, "wb")


def _anonymous_file(size_bytes: int) -> BinaryIO:
    """A file that no other process can open: in memory on Linux, on disk elsewhere."""
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("artifactscan-pixels"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    file.truncate(size_bytes)
    return file
