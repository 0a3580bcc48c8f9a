"""Crashes, hangs and invalid messages of a child fail only the current video and leave no process behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from isolated import (
    DECORD,
    LIMITS,
    SETTINGS,
    assert_failed,
    assert_scored,
    done_message,
    result_of,
    running,
    say,
    segment_message,
    wait_until_gone,
)

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.outcomes import Outcome

CRASHES = {
    "segmentation fault": ("ctypes.string_at(0)", r"died of SIGSEGV"),
    "abort": ("os.abort()", r"died of SIGABRT"),
    "exit": ("os.write(2, b'I give up'); os._exit(3)", r"exited with code 3: I give up$"),
    "killed by the system": ("os.kill(os.getpid(), signal.SIGKILL)", r"killed by SIGKILL"),
    "too much memory": ("hoard = []\nwhile True: hoard.append(bytearray(1 << 24))", r"512 MiB"),
    "too much memory, in C++": (
        "os.write(2, b'what(): std::bad_alloc'); os.abort()",
        r"memory limit of 512 MiB",
    ),
    "closed pipe": ("os.close(events_fd); time.sleep(60)", r"closed its channel"),
    "not JSON": (say(b"\xff\x00rubbish"), r"protocol: .* is not JSON"),
    "nested too deep": (say(b"[" * 60_000), r"protocol: .* is not JSON"),
    "not an object": (say("[1]"), r"protocol: .* is not an object"),
    "a line without end": (
        "while True: os.write(events_fd, b'x' * 4096)",
        r"protocol: a line is too long",
    ),
    "no such event": (say('{"event": "won"}'), r"protocol: event 'won'"),
    "no lists": (say(segment_message(frame_index=3)), r"protocol: frame_index and pts_s"),
    "too many frames": (
        say(segment_message(frame_index=[0, 1, 2, 3], pts_s=[0.0] * 4)),
        r"segment of 4 frames",
    ),
    "an empty segment": (say(segment_message(frame_index=[], pts_s=[])), r"segment of 0 frames"),
    "frames out of order": (
        say(segment_message(frame_index=[5, 5], pts_s=[0.0, 1.0])),
        r"frame_index 5 after 5",
    ),
    "a huge frame number": (say(segment_message(frame_index=[2**31])), r"frame_index 2147483648"),
    "a time that is none": (say(segment_message(pts_s=[float("nan")])), r"pts_s nan"),
    "facts of a wrong type": (say(done_message(codec=7)), r"codec 7"),
    "facts that are unheard of": (say(done_message(colour="red")), r"facts with other fields"),
    "a miscount": (
        say(done_message(frames_sampled=9, frames_decoded=9)),
        r"counted 9 of 9 frames and gave 1",
    ),
    "a cut shared file": (
        f"os.ftruncate(pixels_fd, 0); {say(segment_message())}",
        r"shared file is too short",
    ),
    "an outcome it may not give": (
        say('{"event": "failed", "outcome": "scored", "reason": ""}'),
        r"'scored'",
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_fails_only_that_video(name: str, clip: str, fault: Callable[[str], str]) -> None:
    source, reason = CRASHES[name]
    with SandboxedDecoder(DECORD) as process:
        said = assert_failed(list(process.decode(fault(source))), Outcome.CRASHED)
        assert re.search(reason, said), said
        assert_scored(list(process.decode(clip)), "decord")


HANGS = {
    "holding the GIL": "ctypes.PyDLL(None).sleep(60)",
    "ignoring signals": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\nwhile True: pass",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "dribbling": "while True: os.write(events_fd, b' '); time.sleep(0.01)",
    "flooding stderr": "while True: os.write(2, b'x' * 65536)",
    "sending segments for ever": (
        "for n in range(1 << 31):\n"
        "  line = json.dumps({'event': 'segment', 'frame_index': [n], 'pts_s': [0.0]})\n"
        "  os.write(events_fd, line.encode() + b'\\n'); time.sleep(0.002)"
    ),
}


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_is_ended_by_the_parent(name: str, clip: str, fault: Callable[[str], str]) -> None:
    limits = replace(LIMITS, video_timeout_s=1.5)
    with SandboxedDecoder(replace(DECORD, limits=limits)) as process:
        process.start()
        pid = process.pid
        began = time.monotonic()
        said = assert_failed(list(process.decode(fault(HANGS[name]))), Outcome.TIMED_OUT)
        assert said == "not decoded within 1.5 s"
        assert time.monotonic() - began < 40, "the hangs last a minute and more; starting a child counts here, too"
        assert pid is not None and not running(pid)
        assert_scored(list(process.decode(clip)), "decord")


def test_a_child_that_sends_without_reading_does_not_block_the_parent(fault: Callable[[str], str]) -> None:
    flood = (
        "number = 0\n"
        "while True:\n"
        "  lines = b''\n"
        "  for _ in range(100):\n"
        "    message = {'event': 'segment', 'frame_index': [number], 'pts_s': [0.0]}\n"
        "    lines += json.dumps(message).encode() + b'\\n'; number += 1\n"
        "  os.write(events_fd, lines)\n"
    )
    with SandboxedDecoder(DECORD) as process:
        assert "does not read its commands" in assert_failed(list(process.decode(fault(flood))), Outcome.CRASHED)


def test_the_child_is_confined(fault: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "DATABASE_URL")
    for name in secrets:
        monkeypatch.setenv(name, "hush")
    with SandboxedDecoder(DECORD, nice=3) as process:
        heavy = "{'torch', 'ray', 'pandas', 'pyarrow', 'boto3'} & sys.modules.keys()"
        source = f"os.write(2, repr({heavy}).encode()); os._exit(1)"
        reason = assert_failed(list(process.decode(fault(source))), Outcome.CRASHED)
        assert reason.endswith("exited with code 1: set()")
        proc = Path(f"/proc/{process.pid}")
        environment = (proc / "environ").read_text()
        assert "hush" not in environment and "AWS" not in environment
        result_of(list(process.decode(fault("pass"))))  # it is up, with its limits set
        status, limits = (proc / "stat").read_text().rpartition(")")[2].split(), (proc / "limits").read_text()
        assert int(status[16]) == os.getpriority(os.PRIO_PROCESS, 0) + 3
        assert (proc / "oom_score_adj").read_text().strip() == "1000"
        assert re.search(r"Max core file size +0 +0", limits)
        address_space = re.search(r"Max address space +(\d+) +(\d+)", limits)
        assert address_space and int(address_space[1]) == int(address_space[2]) > LIMITS.child_memory_bytes
        assert int(address_space[1]) < LIMITS.child_memory_bytes + (2 << 30)
        assert os.getpgid(process.pid or 0) == os.getsid(process.pid or 0) == process.pid
        assert len(list((proc / "fd").iterdir())) == 6  # the standard three, two pipes, the shared file


def test_a_broken_installation_is_an_error_not_a_crashed_video(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "decord.py").write_text("raise ImportError('libdecord.so is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with SandboxedDecoder(SETTINGS) as process:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"(?s)can be started: .*libdecord.so is missing"):
                list(process.decode(clip))


OWNER = """
import sys
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
process = SandboxedDecoder(DecodeSettings(input=InputSpec(height=48, width=80), decoder="decord"))
process.start()
print(process.pid, flush=True)
list(process.decode(sys.argv[1]))
"""


def test_no_child_outlives_a_parent_killed_with_sigkill(tmp_path: Path, fault: Callable[[str], str]) -> None:
    hung = tmp_path / "hung"
    path = fault(f"open({str(hung)!r}, 'w').close(); ctypes.PyDLL(None).sleep(60)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, path], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        deadline = time.monotonic() + 20
        while not hung.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert hung.exists() and running(child)
    finally:
        owner.kill()
        owner.communicate()
    gone = wait_until_gone(child)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    assert gone


def test_a_child_outlives_the_thread_that_asked_for_it(clip: str) -> None:
    with SandboxedDecoder(SETTINGS) as process:
        segments: list[Segment] = []
        thread = threading.Thread(target=lambda: segments.extend(process.decode(clip)))
        thread.start()
        thread.join()
        assert_scored(segments, "pyav")
        pid = process.pid
        time.sleep(0.1)
        assert_scored(list(process.decode(clip)), "pyav")
        assert process.pid == pid


def test_no_descriptor_and_no_process_leaks_over_many_videos(clip: str, fault: Callable[[str], str]) -> None:
    bad = fault("os._exit(1)")

    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    pids = set()
    with SandboxedDecoder(DECORD) as process:
        assert_scored(list(process.decode(clip)), "decord")
        before = open_descriptors()
        for number in range(50):
            pids.add(process.pid)
            if number % 10 == 9:
                assert_failed(list(process.decode(bad)), Outcome.CRASHED)
                assert process.pid not in pids
            else:
                assert_scored(list(process.decode(clip)), "decord")
        assert open_descriptors() <= before  # an earlier test's may be closed meanwhile; a leak would be fifty
    assert len(pids) == 5
    assert not any(running(pid) for pid in pids if pid)
    assert open_descriptors() < before
