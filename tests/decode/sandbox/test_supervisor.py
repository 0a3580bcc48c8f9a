"""Decoding in a child process: segments, results, limits, and the fallback to decord."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest
from isolated import (
    DECORD,
    LIMITS,
    PYAV,
    SAMPLED,
    SETTINGS,
    assert_failed,
    assert_scored,
    done_message,
    kept,
    result_of,
    running,
    say,
    shown,
    wait_until_gone,
)

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.outcomes import Outcome


@pytest.mark.parametrize("decoder", ["pyav", "decord", "auto"])
def test_a_clip_comes_out_in_segments_and_one_result(clip: str, decoder: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, decoder=decoder)) as process:
        segments = list(process.decode(clip))
    assert_scored(segments, "pyav" if decoder == "auto" else decoder)
    assert [segment.frame_index for segment in segments] == [SAMPLED[:3], SAMPLED[3:6], SAMPLED[6:]]
    assert [pts for segment in segments for pts in segment.pts_s] == pytest.approx([n / 24 for n in SAMPLED])
    result = result_of(segments)
    assert result.reason is None
    assert (result.facts.frames_sampled, result.facts.frames_decoded) == (8, 8)
    assert result.facts.decode_s is not None and 0 < result.facts.decode_s < LIMITS.video_timeout_s


def test_a_full_last_segment_is_not_followed_by_an_empty_one(clip: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, segment_frames=4)) as process:
        segments = list(process.decode(clip))
    assert [len(segment.frame_index) for segment in segments] == [4, 4]
    assert_scored(segments, "pyav")


def test_the_same_child_serves_good_and_undecodable_videos(clip: str, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    with SandboxedDecoder(SETTINGS) as process:
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
    with SandboxedDecoder(SETTINGS) as process:
        assert_scored(list(process.decode(str(path))), "pyav")


@pytest.mark.parametrize("entry", ["", "."])
def test_nothing_is_imported_from_the_working_directory(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """As of a shell in a folder of downloads: ``python -c`` and interactive drivers have it in sys.path."""
    for name in ("json", "resource", "av"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.setattr(sys, "path", [entry, *sys.path, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    with SandboxedDecoder(SETTINGS) as process:
        assert_scored(list(process.decode(clip)), "pyav")


def test_a_removed_working_directory_hinders_nothing(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", *map(os.path.abspath, sys.path)])
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with SandboxedDecoder(SETTINGS) as process:
        assert_scored(list(process.decode(clip)), "pyav")


def test_lost_frames_make_a_partial_result_with_counts(fault: Callable[[str], str]) -> None:
    with SandboxedDecoder(DECORD) as process:
        path = fault(say(done_message(frames_sampled=20, packets_damaged=2)))
        result = result_of(list(process.decode(path)))
    assert (result.outcome, result.reason) == (
        Outcome.PARTIAL,
        "19 of 20 sampled frames lost: 2 damaged packets",
    )


def test_a_damaged_clip_is_partial(tmp_path: Path) -> None:
    path = media.write_clip(tmp_path / "damaged.mp4", seconds=8, options={"g": "24"})
    media.damage(path, at=0.5, size=path.stat().st_size // 4)
    with SandboxedDecoder(PYAV) as process:
        segments = list(process.decode(str(path)))
    result = result_of(segments)
    assert result.outcome is Outcome.PARTIAL, result
    facts = result.facts
    assert facts.frames_sampled and facts.frames_decoded and result.reason
    lost = facts.frames_sampled - facts.frames_decoded
    assert result.reason.startswith(f"{lost} of {facts.frames_sampled} sampled frame")
    assert sum(len(segment.frame_index) for segment in kept(segments)) == facts.frames_decoded


def test_decord_is_not_tried_after_too_large(clip: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, limits=replace(LIMITS, max_pixels=100))) as process:
        said = assert_failed(list(process.decode(clip)), Outcome.TOO_LARGE)
    assert "decord" not in said


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    with SandboxedDecoder(SETTINGS) as process:
        said = assert_failed(list(process.decode(str(tmp_path / "gone.mp4"))), Outcome.UNREADABLE)
        assert said == "the file cannot be opened: No such file or directory"
        assert "Is a directory" in assert_failed(list(process.decode(str(tmp_path))), Outcome.UNREADABLE)


def meddle(process: SandboxedDecoder, path: str, after: int, signal_number: int) -> Iterator[Segment]:
    """Decode, sending a signal to the child once ``after`` segments have come."""
    for number, segment in enumerate(process.decode(path), start=1):
        yield segment
        if number == after:
            assert process.pid is not None
            os.kill(process.pid, signal_number)


def test_a_child_killed_in_the_middle(long_clip: str, clip: str) -> None:
    with SandboxedDecoder(replace(PYAV, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGKILL))
        assert "SIGKILL" in assert_failed(segments, Outcome.CRASHED)
        assert 5 <= len(segments) - 1 <= 8
        assert_scored(list(process.decode(clip)), "pyav")


def test_decord_takes_over_where_pyav_crashes(long_clip: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGKILL))
    result = result_of(segments)
    assert (result.outcome, result.facts.decoder) == (Outcome.SCORED, "decord")
    assert re.fullmatch(r"decoded by decord after pyav failed \(crashed: .*SIGKILL.*\)", str(result.reason))
    assert shown(segments) == [12 * n % 256 for n in range(30)]


def test_after_both_decoders_fail_the_outcome_is_pyavs_and_the_reason_names_both(fault: Callable[[str], str]) -> None:
    limits = replace(LIMITS, video_timeout_s=2)
    with SandboxedDecoder(replace(SETTINGS, segment_frames=1, limits=limits)) as process:
        segments = list(meddle(process, fault("ctypes.string_at(0)"), 5, signal.SIGSTOP))
    said = assert_failed(segments, Outcome.TIMED_OUT)
    expected = r"pyav failed \(timed_out: not decoded within 1.2 s\); decord failed \(crashed: .*SIGSEGV\)"
    assert re.fullmatch(expected, said), said
    assert result_of(segments).facts.decoder == "decord"


def test_decord_has_its_share_of_the_time_after_pyav_hangs(long_clip: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, segment_frames=1)) as process:
        segments = list(meddle(process, long_clip, 5, signal.SIGSTOP))
    result = result_of(segments)
    assert result.outcome is Outcome.SCORED, result
    assert result.facts.decoder == "decord"
    assert result.reason == "decoded by decord after pyav failed (timed_out: not decoded within 3 s)"
    assert result.facts.decode_s is not None and 3 < result.facts.decode_s < LIMITS.video_timeout_s
    assert len({segment.attempt for segment in segments}) == 2
    assert [segment.frame_index for segment in kept(segments)] == [[12 * n] for n in range(30)]


def test_a_child_killed_while_idle_is_replaced_unnoticed(clip: str) -> None:
    with SandboxedDecoder(SETTINGS) as process:
        assert_scored(list(process.decode(clip)), "pyav")
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(pid)
        segments = list(process.decode(clip))
        assert_scored(segments, "pyav")
        assert result_of(segments).reason is None


def test_closing_an_iterator_early_does_not_affect_the_next_video(long_clip: str, clip: str) -> None:
    with SandboxedDecoder(replace(SETTINGS, segment_frames=1)) as process:
        segments = process.decode(long_clip)
        next(segments)
        with pytest.raises(RuntimeError, match="decoding another video"):
            next(process.decode(clip))
        del segments
        assert_scored(list(process.decode(clip)), "pyav")


def test_the_callers_time_does_not_count(clip: str) -> None:
    limits = replace(LIMITS, video_timeout_s=1.5)
    with SandboxedDecoder(replace(SETTINGS, limits=limits)) as process:
        segments = []
        for segment in process.decode(clip):
            segments.append(segment)
            time.sleep(0.6)
    assert_scored(segments, "pyav")
    decode_s = result_of(segments).facts.decode_s
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
    with SandboxedDecoder(replace(PYAV, limits=limits)) as process:
        assert "100 MiB" in assert_failed(list(process.decode(str(path))), Outcome.CRASHED)
        assert_scored(list(process.decode(clip)), "pyav")
