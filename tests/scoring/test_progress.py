"""The progress line of a run, and the tally that it prints."""

import io
import re
import time
from collections import Counter

import pytest

from artifactscan.corpus.listed_object import video_id
from artifactscan.scoring import progress
from artifactscan.scoring.progress import Progress, Snapshot, Tally, format_progress

LINE = r"2/3 videos  48 frames  [\d.]+ videos/s  [\d.]+ frames/s  1 scored, 1 crashed  ETA \d+:\d\d"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    tally.add(48, {"a0": "scored", "a1": "crashed"}, [])
    return tally


def test_a_tally_counts() -> None:
    tally = Tally()
    assert tally.read() == Snapshot()
    tally.add(3, {"a0": "scored", "a1": "crashed"}, ["a note"])
    tally.add(0, {}, [])
    tally.add(4, {"a2": "scored"}, ["a note", "another"])
    assert tally.read() == Snapshot(7, Counter(scored=2, crashed=1), {"a note", "another"})
    assert tally.read().videos == 3


def test_counts_that_were_read_stay_as_they_were() -> None:
    tally = Tally()
    before = tally.read()
    tally.add(3, {"a0": "scored"}, ["a note"])
    tally.worker_started("decode", "decoder", "node")
    assert before == Snapshot() != tally.read()


def test_a_repeated_video_is_counted_once() -> None:
    """With the ids that videos have, of which some begin alike."""
    tally, ids = Tally(total=1000), [video_id(f"s3://bucket/{n}.mp4", "etag") for n in range(1000)]
    for video in ids:
        tally.add(2, {video: "scored"}, [])
    tally.add(6, {ids[0]: "scored", ids[1]: "crashed", ids[2]: "scored"}, [])
    assert tally.read() == Snapshot(2006, Counter(scored=1000))


def test_the_line_has_counts_rates_and_the_time_left() -> None:
    snapshot = Snapshot(frames=1200, outcomes=Counter(undecodable=2, scored=30))
    assert format_progress(snapshot, total=2000, elapsed_s=16.0) == (
        "32/2,000 videos  1,200 frames  2.0 videos/s  75.0 frames/s  30 scored, 2 undecodable  ETA 16:24"
    )


def test_the_line_before_the_first_video_is_done() -> None:
    for elapsed_s in (0.0, 5.0):
        text = format_progress(Snapshot(), total=5, elapsed_s=elapsed_s)
        assert text == "0/5 videos  0 frames  0.0 videos/s  0.0 frames/s  starting processes  ETA -"
    assert format_progress(Snapshot(frames=64), total=5, elapsed_s=4.0) == (
        "0/5 videos  64 frames  0.0 videos/s  16.0 frames/s  starting processes  ETA -"
    )


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [(0.4, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.4, "59:59"), (3599.6, "1:00:00"), (90_061.0, "25:01:01")],
)
def test_the_time_left(seconds: float, clock: str) -> None:
    """One of two videos is done, so what is left takes as long as what is done."""
    assert format_progress(Snapshot(outcomes=Counter(scored=1)), total=2, elapsed_s=seconds).endswith(f"  ETA {clock}")


FIRST = "\r\x1b[2K0/3 videos  0 frames  0.0 videos/s  0.0 frames/s  starting processes  ETA -"
"""What a terminal shows before the tally has answered."""


@pytest.mark.parametrize(("stream", "before"), [(io.StringIO, ""), (Terminal, f"{FIRST}\r\x1b[2K")])
def test_the_last_line_ends_with_a_newline(tally: Tally, stream: type[io.StringIO], before: str) -> None:
    said = stream()
    with Progress(tally.read, total=3, quiet=False, stream=said):
        pass
    assert re.fullmatch(re.escape(before) + LINE + "\n", said.getvalue())


@pytest.mark.parametrize(("stream", "between"), [(io.StringIO, "\n"), (Terminal, "\r\x1b[2K")])
def test_a_terminal_line_is_rewritten_and_a_log_gets_new_lines(
    tally: Tally, stream: type[io.StringIO], between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TERMINAL_INTERVAL_S", 0.001)
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.001)
    said = stream()
    with Progress(tally.read, total=3, quiet=False, stream=said):
        end = time.monotonic() + 30
        while said.getvalue().count("ETA") < 4 and time.monotonic() < end:
            time.sleep(0.001)
    lines = said.getvalue().removeprefix(FIRST).removesuffix("\n").removeprefix("\r\x1b[2K").split(between)
    assert len(lines) >= 3
    assert all(re.fullmatch(LINE, text) for text in lines)


def test_a_log_does_not_repeat_its_last_line(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TERMINAL_INTERVAL_S", 0.001)
    said = io.StringIO()
    with Progress(tally.read, total=3, quiet=False, stream=said):
        end = time.monotonic() + 30
        while not said.getvalue() and time.monotonic() < end:
            time.sleep(0.001)
    assert re.fullmatch(LINE + "\n", said.getvalue())


def test_it_says_what_goes_on_before_the_first_video_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)
    tally = Tally()

    def said() -> str:
        stream = io.StringIO()
        with Progress(tally.read, total=3, quiet=False, stream=stream, why_waiting=lambda: "no CPU is free"):
            pass
        return stream.getvalue().split("  ")[4]

    assert said() == "no CPU is free"
    tally.worker_started("decode", "decoder", "node")
    assert said() == "loading the checkpoint"
    tally.worker_started("classify", "classifier", "node")
    tally.worker_started("decode", "second decoder", "node")
    assert said() == "scoring the first videos"
    assert set(tally.read().nodes) == {"decoder", "classifier", "second decoder"}


def test_quiet_prints_nothing(tally: Tally) -> None:
    said = io.StringIO()
    with Progress(tally.read, total=3, quiet=True, stream=said) as quiet:
        assert not quiet.thread.is_alive()
    assert said.getvalue() == ""


def test_a_tally_that_cannot_be_read_prints_nothing() -> None:
    said = io.StringIO()
    with Progress(lambda: None, total=3, quiet=False, stream=said):
        pass
    assert said.getvalue() == ""
