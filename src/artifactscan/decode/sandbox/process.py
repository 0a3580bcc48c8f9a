"""One decoding process as its owner sees it: how it is started, spoken to, listened to and killed."""

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
    Nonsense,
    Part,
    check_failure,
    check_part,
    frame_bytes,
    max_line_bytes,
    pack_config,
    parse,
    shared_bytes,
    slot_start,
)
from artifactscan.decode.video import WHOLE, DecodeError, DecodeSettings, NotSliced, Slice
from artifactscan.outcomes import Outcome

START_TIMEOUT_S = 120.0
"""For a child to get ready; 0.2 s on an idle machine."""
STDERR_BYTES = 4096
"""How much of the end of the child's stderr is kept."""

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_OUT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")
_PIPE_BYTES = 1 << 16


class Child:
    """A running child with the parent's ends of its pipes.

    Its death and its nonsense raise DecodeError of outcome ``crashed``, its silence TimeoutError.
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
                # -P: a json.py in the working directory is not ours to import
                [sys.executable, "-P", "-m", "artifactscan.decode.sandbox.child", config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=inherited,
                env=_child_environment(),
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
        """Wait until it has started; if it has, see that it is still alive."""
        if self._ready:
            if self._process.poll() is not None:
                raise DecodeError(Outcome.CRASHED, self._obituary())
        elif self._receive(START_TIMEOUT_S) != {"event": "ready"}:
            raise Nonsense("something else before it was ready")
        self._ready = True

    def begin(self, path: str, decoder: str, slice: Slice = WHOLE) -> None:
        """Have it decode a video with ``pyav`` or ``decord``; ``parts`` tells what comes of it."""
        self._drain_stderr()
        self._stderr_tail.clear()
        self._slice = slice
        self._send({"decode": path, "decoder": decoder, "slice": [slice.number, slice.of]})

    def parts(self, left_s: Callable[[], float]) -> Iterator[tuple[Part, bytes]]:
        """Yield the segments of the video that was begun with their pixels, the last one with its facts.

        ``left_s`` tells the seconds left. Raises what the decoder said, too, where it failed, and NotSliced.
        """
        index = 0
        last_frame = -1
        while True:
            message = self._receive(left_s())
            if message.get("event") == "failed":
                raise check_failure(message)
            if message == {"event": "whole"} and not index and self._slice != WHOLE:
                raise NotSliced
            part = check_part(message, self._settings.segment_frames, last_frame)
            yield part, self._take_pixels(index, len(part.frame_index))
            if part.facts is not None:
                return
            last_frame = part.frame_index[-1]
            index += 1

    def _take_pixels(self, index: int, frames: int) -> bytes:
        size = frames * frame_bytes(self._settings)
        pixels = os.pread(self._pixels.fileno(), size, slot_start(self._settings, index))
        if len(pixels) != size:  # the child cut the file short, which would be fatal if it were mapped
            raise Nonsense("a shared file that is too short")
        self._send({"taken": index})
        return pixels

    def stderr_text(self) -> str:
        """The last STDERR_BYTES of what the child wrote to stderr since it began."""
        return self._stderr_tail.decode(errors="replace").strip()

    def kill(self) -> None:
        """Kill the child with all it started, reap it, and close the pipes."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # stuck in the kernel, on a dead disk: leave it there
                self._process.wait(10)
        for stream in (self._commands, self._events, self._stderr, self._pixels):
            stream.close()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with suppress(BrokenPipeError):  # its death shows when its answer is read
            if self._commands.write(line) != len(line):
                raise DecodeError(Outcome.CRASHED, "the decoding process does not listen")

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next message; TimeoutError once time is up, even if there is one to be had."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            end = self._unread.find(b"\n")
            if end >= 0:
                line = bytes(self._unread[:end])
                del self._unread[: end + 1]
                return parse(line)
            if len(self._unread) > max_line_bytes(self._settings):
                raise Nonsense("a message without end")
            for fd, _ in self._poller.poll(math.ceil(left_s * 1000)):
                if fd == self._stderr.fileno():
                    self._drain_stderr()
                elif data := self._events.read(_PIPE_BYTES):
                    self._unread += data
                else:
                    raise DecodeError(Outcome.CRASHED, self._obituary())
        raise TimeoutError

    def _drain_stderr(self) -> None:
        data = self._stderr.read(_PIPE_BYTES)
        if data:
            self._stderr_tail = (self._stderr_tail + data)[-STDERR_BYTES:]
        elif data == b"" and self._stderr_open:  # closed; polling it would spin
            self._stderr_open = False
            self._poller.unregister(self._stderr)

    def _obituary(self) -> str:
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
    """Only what a decoder needs: the parent's environment may hold credentials."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    import_path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    # One core per child: idle thread pools and malloc arenas only cost it start-up time and address space.
    return {**kept, "PYTHONPATH": import_path, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _pipe() -> tuple[FileIO, FileIO]:
    """Return the reading and the writing end, unbuffered, closed by the garbage collector at the latest."""
    reading, writing = os.pipe()
    return FileIO(reading, "rb"), FileIO(writing, "wb")


def _anonymous_file(size_bytes: int) -> BinaryIO:
    """Return a file in memory where the system has such, on disk elsewhere, that nobody else can open."""
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("artifactscan-pixels"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    file.truncate(size_bytes)
    return file
