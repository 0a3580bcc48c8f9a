"""Real children, real codecs, real signals: whatever a video does, it costs that one video."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import media
import numpy as np
import pytest

from artifactscan.inputs import InputSpec
from artifactscan.isolation import DecoderProcess, Segment
from artifactscan.outcomes import Outcome
from artifactscan.video import DecodeLimits, DecodeSettings, Verdict, VideoFacts

SHIMS = Path(__file__).parent / "shims"
HEIGHT, WIDTH = 48, 80
LIMITS = DecodeLimits(video_timeout_s=5, child_memory_bytes=512 << 20)
SETTINGS = DecodeSettings(input=InputSpec(height=HEIGHT, width=WIDTH), segment_frames=3, limits=LIMITS)
PYAV = replace(SETTINGS, decoder="pyav")
DECORD = replace(SETTINGS, decoder="decord")

CLIP_SECONDS = 4
SAMPLED = [0, 12, 24, 36, 48, 60, 72, 84]
"""Two a second out of 24."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(media.write_clip(tmp_path_factory.mktemp("clips") / "good.mp4", seconds=CLIP_SECONDS))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Long enough that a child with small segments is still at it when the first has arrived."""
    return str(media.write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", seconds=15))


@pytest.fixture
def fault(long_clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a video that is good for pyav and runs the given Python in the child when decord opens it."""
    monkeypatch.syspath_prepend(str(SHIMS))

    def write(source: str) -> str:
        hidden = f"#!fault\nimport ctypes, json, os, signal, sys, time\n{source}\n".encode()
        free_box = (8 + len(hidden)).to_bytes(4, "big") + b"free" + hidden
        path = tmp_path / "fault.mp4"
        path.write_bytes(Path(long_clip).read_bytes() + free_box)
        return str(path)

    return write


def verdict_of(segments: list[Segment]) -> Verdict:
    """The verdict, after checking that there is exactly one and that it stands last."""
    verdicts = [segment.verdict for segment in segments]
    assert verdicts[-1] is not None
    assert verdicts[:-1] == [None] * (len(verdicts) - 1)
    return verdicts[-1]


def kept(segments: list[Segment]) -> list[Segment]:
    """The segments of the attempt that counts."""
    mine = [segment for segment in segments if segment.attempt == segments[-1].attempt]
    assert [segment.index for segment in mine] == list(range(len(mine)))
    return mine


def shown(segments: list[Segment]) -> list[int]:
    """The numbers that the kept frames show."""
    pictures = b"".join(segment.pixels for segment in kept(segments))
    frames = np.frombuffer(pictures, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    return [media.read_number(frame) for frame in frames]


def assert_scored(segments: list[Segment], decoder: str) -> None:
    verdict = verdict_of(segments)
    assert verdict.outcome is Outcome.SCORED, verdict
    assert verdict.facts.decoder == decoder
    assert [i for segment in kept(segments) for i in segment.frame_index] == SAMPLED
    assert shown(segments) == SAMPLED


def assert_failed(segments: list[Segment], outcome: Outcome) -> str:
    """The reason of a verdict that stands alone, without frames."""
    verdict = verdict_of(segments)
    assert verdict.outcome is outcome, verdict
    assert verdict.reason
    assert kept(segments) == segments[-1:]
    assert (segments[-1].frame_index, segments[-1].pts_s, segments[-1].pixels) == ([], [], b"")
    return verdict.reason


def running(pid: int) -> bool:
    """Whether a process is there that is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, timeout_s: float = 5) -> bool:
    deadline = time.monotonic() + timeout_s
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not running(pid)


@pytest.mark.parametrize("decoder", ["pyav", "decord", "auto"])
def test_a_clip_comes_out_in_segments_and_one_verdict(clip: str, decoder: str) -> None:
    with DecoderProcess(replace(SETTINGS, decoder=decoder)) as process:
        segments = list(process.decode(clip))
    assert_scored(segments, "pyav" if decoder == "auto" else decoder)
    assert [segment.frame_index for segment in segments] == [SAMPLED[:3], SAMPLED[3:6], SAMPLED[6:]]
    assert [pts for segment in segments for pts in segment.pts_s] == pytest.approx([n / 24 for n in SAMPLED])
    verdict = verdict_of(segments)
    assert verdict.reason is None
    assert (verdict.facts.frames_sampled, verdict.facts.frames_decoded) == (8, 8)
    assert verdict.facts.decode_s is not None and 0 < verdict.facts.decode_s < LIMITS.video_timeout_s


def test_a_full_last_segment_is_not_followed_by_an_empty_one(clip: str) -> None:
    with DecoderProcess(replace(SETTINGS, segment_frames=4)) as process:
        segments = list(process.decode(clip))
    assert [len(segment.frame_index) for segment in segments] == [4, 4]
    assert_scored(segments, "pyav")


def test_the_same_child_serves_good_and_undecodable_videos(clip: str, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    with DecoderProcess(SETTINGS) as process:
        assert process.pid is None
        process.start()
        pid = process.pid
        for _ in range(3):
            assert_scored(list(process.decode(clip)), "pyav")
            assert_failed(list(process.decode(str(text))), Outcome.UNDECODABLE)
        assert process.pid == pid
    assert process.pid is None
    assert pid is not None and not running(pid)


@pytest.mark.parametrize(
    "name",
    ["-y.mp4", "a b'\"c.mp4", "50%2F#?.mp4", "new\nline.mp4", "Ж中🎬.mp4", os.fsdecode(b"\xff\xfe.mp4")],
)
def test_any_file_name(name: str, clip: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.symlink_to(clip)
    with DecoderProcess(SETTINGS) as process:
        assert_scored(list(process.decode(str(path))), "pyav")


def say(message: str | bytes) -> str:
    """Python for a fault that puts a line on the protocol and then stays silent."""
    line = (message if isinstance(message, bytes) else message.encode()) + b"\n"
    return f"os.write(events_fd, {line!r}); time.sleep(60)"


def segment_message(event: str = "segment", **fields: object) -> str:
    return json.dumps({"event": event, "frame_index": [0], "pts_s": [0.0], **fields})


def done_message(**facts: object) -> str:
    counts = {"frames_sampled": 1, "frames_decoded": 1}
    return segment_message("done", facts=asdict(VideoFacts()) | counts | facts)


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
    "not JSON": (say(b"\xff\x00rubbish"), r"nonsense: .* is not JSON"),
    "nested too deep": (say(b"[" * 60_000), r"nonsense: .* is not JSON"),
    "not an object": (say("[1]"), r"nonsense: .* is not an object"),
    "a line without end": (
        "while True: os.write(events_fd, b'x' * 4096)",
        r"nonsense: a message without end",
    ),
    "no such event": (say('{"event": "won"}'), r"nonsense: event 'won'"),
    "no lists": (say(segment_message(frame_index=3)), r"nonsense: frame_index and pts_s"),
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
    "facts that are unheard of": (say(done_message(colour="red")), r"facts that are none"),
    "a miscount": (
        say(done_message(frames_sampled=9, frames_decoded=9)),
        r"counted 9 of 9 frames and gave 1",
    ),
    "a cut shared file": (
        f"os.ftruncate(pixels_fd, 0); {say(segment_message())}",
        r"shared file .* too short",
    ),
    "an outcome it may not give": (
        say('{"event": "failed", "outcome": "scored", "reason": ""}'),
        r"'scored'",
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_costs_that_one_video(name: str, clip: str, fault: Callable[[str], str]) -> None:
    source, reason = CRASHES[name]
    with DecoderProcess(DECORD) as process:
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
def test_a_hang_is_ended_by_the_parents_clock(name: str, clip: str, fault: Callable[[str], str]) -> None:
    limits = replace(LIMITS, video_timeout_s=1.5)
    with DecoderProcess(replace(DECORD, limits=limits)) as process:
        process.start()
        pid = process.pid
        began = time.monotonic()
        said = assert_failed(list(process.decode(fault(HANGS[name]))), Outcome.TIMED_OUT)
        assert said == "not decoded within 1.5 s"
        assert time.monotonic() - began < 5
        assert pid is not None and not running(pid)
        assert_scored(list(process.decode(clip)), "decord")


def test_a_child_that_sends_without_listening_does_not_block_the_parent(fault: Callable[[str], str]) -> None:
    flood = (
        "number = 0\n"
        "while True:\n"
        "  lines = b''\n"
        "  for _ in range(100):\n"
        "    message = {'event': 'segment', 'frame_index': [number], 'pts_s': [0.0]}\n"
        "    lines += json.dumps(message).encode() + b'\\n'; number += 1\n"
        "  os.write(events_fd, lines)\n"
    )
    with DecoderProcess(DECORD) as process:
        assert "does not listen" in assert_failed(list(process.decode(fault(flood))), Outcome.CRASHED)


def test_lost_frames_make_a_partial_verdict_that_counts(fault: Callable[[str], str]) -> None:
    with DecoderProcess(DECORD) as process:
        path = fault(say(done_message(frames_sampled=20, packets_damaged=2)))
        verdict = verdict_of(list(process.decode(path)))
    assert (verdict.outcome, verdict.reason) == (
        Outcome.PARTIAL,
        "19 of 20 sampled frames lost: 2 damaged packets",
    )


def test_a_damaged_clip_is_partial(tmp_path: Path) -> None:
    path = media.write_clip(tmp_path / "damaged.mp4", seconds=8, options={"g": "24"})
    media.damage(path, at=0.5, size=path.stat().st_size // 4)
    with DecoderProcess(PYAV) as process:
        segments = list(process.decode(str(path)))
    verdict = verdict_of(segments)
    assert verdict.outcome is Outcome.PARTIAL, verdict
    facts = verdict.facts
    assert facts.frames_sampled and facts.frames_decoded and verdict.reason
    lost = facts.frames_sampled - facts.frames_decoded
    assert verdict.reason.startswith(f"{lost} of {facts.frames_sampled} sampled frame")
    assert sum(len(segment.frame_index) for segment in kept(segments)) == facts.frames_decoded


def test_too_large_is_final(clip: str) -> None:
    with DecoderProcess(replace(SETTINGS, limits=replace(LIMITS, max_pixels=100))) as process:
        said = assert_failed(list(process.decode(clip)), Outcome.TOO_LARGE)
    assert "decord" not in said


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    with DecoderProcess(SETTINGS) as process:
        said = assert_failed(list(process.decode(str(tmp_path / "gone.mp4"))), Outcome.UNREADABLE)
        assert said == "the file cannot be opened: No such file or directory"
        assert "Is a directory" in assert_failed(list(process.decode(str(tmp_path))), Outcome.UNREADABLE)


def meddle(process: DecoderProcess, path: str, after: int, signal_number: int) -> Iterator[Segment]:
    """Decode, sending a signal to the child once ``after`` segments have come."""
    for number, segment in enumerate(process.decode(path), start=1):
        yield segment
        if number == after:
            assert process.pid is not None
            os.kill(process.pid, signal_number)


def test_a_child_killed_in_the_middle(long_clip: str, clip: str) -> None:
    with DecoderProcess(replace(PYAV, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGKILL))
        assert "SIGKILL" in assert_failed(segments, Outcome.CRASHED)
        assert 5 <= len(segments) - 1 <= 8
        assert_scored(list(process.decode(clip)), "pyav")


def test_decord_takes_over_where_pyav_crashes(long_clip: str) -> None:
    with DecoderProcess(replace(SETTINGS, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGKILL))
    verdict = verdict_of(segments)
    assert (verdict.outcome, verdict.facts.decoder) == (Outcome.SCORED, "decord")
    assert re.fullmatch(r"decoded by decord after pyav failed \(crashed: .*SIGKILL.*\)", str(verdict.reason))
    assert shown(segments) == [12 * n % 256 for n in range(30)]


def test_where_both_fail_the_outcome_is_pyavs_and_the_reason_names_both(fault: Callable[[str], str]) -> None:
    limits = replace(LIMITS, video_timeout_s=2)
    with DecoderProcess(replace(SETTINGS, segment_frames=1, limits=limits)) as process:
        segments = list(meddle(process, fault("ctypes.string_at(0)"), 5, signal.SIGSTOP))
    said = assert_failed(segments, Outcome.TIMED_OUT)
    expected = r"pyav failed \(timed_out: not decoded within 1.2 s\); decord failed \(crashed: .*SIGSEGV\)"
    assert re.fullmatch(expected, said), said
    assert verdict_of(segments).facts.decoder == "decord"


def test_a_child_stopped_in_the_middle_leaves_decord_its_share_of_the_time(long_clip: str) -> None:
    with DecoderProcess(replace(SETTINGS, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGSTOP))
    verdict = verdict_of(segments)
    assert verdict.outcome is Outcome.SCORED, verdict
    assert verdict.facts.decoder == "decord"
    assert verdict.reason == "decoded by decord after pyav failed (timed_out: not decoded within 3 s)"
    assert verdict.facts.decode_s is not None and 3 < verdict.facts.decode_s < LIMITS.video_timeout_s
    assert len({segment.attempt for segment in segments}) == 2
    assert [segment.frame_index for segment in kept(segments)] == [[12 * n] for n in range(30)]


def test_a_child_killed_while_idle_is_replaced_unnoticed(clip: str) -> None:
    with DecoderProcess(SETTINGS) as process:
        assert_scored(list(process.decode(clip)), "pyav")
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(pid)
        segments = list(process.decode(clip))
        assert_scored(segments, "pyav")
        assert verdict_of(segments).reason is None


def test_an_iterator_given_up_halfway_does_not_spoil_the_next(long_clip: str, clip: str) -> None:
    with DecoderProcess(replace(SETTINGS, segment_frames=1)) as process:
        segments = process.decode(long_clip)
        next(segments)
        with pytest.raises(RuntimeError, match="decoding another video"):
            next(process.decode(clip))
        del segments
        assert_scored(list(process.decode(clip)), "pyav")


def test_the_callers_time_does_not_count(clip: str) -> None:
    limits = replace(LIMITS, video_timeout_s=1.5)
    with DecoderProcess(replace(SETTINGS, limits=limits)) as process:
        segments = []
        for segment in process.decode(clip):
            segments.append(segment)
            time.sleep(0.6)
    assert_scored(segments, "pyav")
    decode_s = verdict_of(segments).facts.decode_s
    assert decode_s is not None and decode_s < 1


def test_frames_too_big_for_the_memory_limit(tmp_path: Path, clip: str) -> None:
    path = media.write_clip(
        tmp_path / "8k.mp4",
        width=7680,
        height=4320,
        fps=2,
        seconds=2,
        options={"preset": "ultrafast"},
        draw=lambda number, width, height: np.full((height, width, 3), 60 * number, np.uint8),
    )
    limits = replace(LIMITS, child_memory_bytes=100 << 20, video_timeout_s=30)
    with DecoderProcess(replace(PYAV, limits=limits)) as process:
        assert "100 MiB" in assert_failed(list(process.decode(str(path))), Outcome.CRASHED)
        assert_scored(list(process.decode(clip)), "pyav")


def test_the_child_is_confined(fault: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "DATABASE_URL")
    for name in secrets:
        monkeypatch.setenv(name, "hush")
    with DecoderProcess(DECORD, nice=3) as process:
        heavy = "{'torch', 'ray', 'pandas', 'pyarrow', 'boto3'} & sys.modules.keys()"
        source = f"os.write(2, repr({heavy}).encode()); os._exit(1)"
        reason = assert_failed(list(process.decode(fault(source))), Outcome.CRASHED)
        assert reason.endswith("exited with code 1: set()")
        proc = Path(f"/proc/{process.pid}")
        environment = (proc / "environ").read_text()
        assert "hush" not in environment and "AWS" not in environment
        verdict_of(list(process.decode(fault("pass"))))  # it is up, with its limits set
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
    with DecoderProcess(SETTINGS) as process:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"(?s)can be started: .*libdecord.so is missing"):
                list(process.decode(clip))


OWNER = """
import sys
from artifactscan.inputs import InputSpec
from artifactscan.isolation import DecoderProcess
from artifactscan.video import DecodeSettings
process = DecoderProcess(DecodeSettings(input=InputSpec(height=48, width=80), decoder="decord"))
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
    with DecoderProcess(SETTINGS) as process:
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
    with DecoderProcess(DECORD) as process:
        assert_scored(list(process.decode(clip)), "decord")
        before = open_descriptors()
        for number in range(50):
            pids.add(process.pid)
            if number % 10 == 9:
                assert_failed(list(process.decode(bad)), Outcome.CRASHED)
                assert process.pid not in pids
            else:
                assert_scored(list(process.decode(clip)), "decord")
        assert open_descriptors() == before
    assert len(pids) == 5
    assert not any(running(pid) for pid in pids if pid)
    assert open_descriptors() < before
