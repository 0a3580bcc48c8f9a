"""How `make bench` runs its contestants, and what it reads of them."""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artifactscan.schemas import PARTS
from artifactscan.storage.parquet import write_table
from benchmarks.bench import in_turn
from benchmarks.contestants import Course, DidNotFinishError, _finished, parts_scored
from benchmarks.peers import BATCH_FRAMES, SIZE, _full_batches


def test_parts_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    """One part has two segments, one has none with frames."""
    for name, at_s, counts in (("b", 20, (3, 4)), ("a", 30, (5,)), ("c", 10, (0,))):
        frames = [
            [dict.fromkeys((field.name for field in PARTS.field("frames").type.value_type), 0)] * n for n in counts
        ]
        columns = {field.name: pa.nulls(len(counts), field.type) for field in PARTS} | {
            "frames": pa.array(frames, PARTS.field("frames").type)
        }
        write_table(pa.table(columns), str(tmp_path / f"{name}.parquet"))
        os.utime(tmp_path / f"{name}.parquet", (at_s, at_s))
    assert parts_scored(tmp_path) == ((20, 7), (30, 5))


def test_clips_are_repeated_under_other_names(tmp_path: Path) -> None:
    originals = tuple(tmp_path / name for name in ("a.mp4", "b.mp4"))
    for original in originals:
        original.write_text(original.stem)
    course = Course(originals, tmp_path / "work", tmp_path / "checkpoint", None)
    clips = sorted(course.clips(5).iterdir())
    assert [clip.name for clip in clips] == [f"{n:05d}_{name}.mp4" for n, name in enumerate("ababa")]
    assert [clip.read_text() for clip in clips] == list("ababa")
    assert course.clips(5) == course.clips(5) != course.clips(2)


def test_what_a_contestant_wrote_before_is_gone(tmp_path: Path) -> None:
    course = Course((), tmp_path, tmp_path / "checkpoint", None)
    output = course.output("daft")
    (output / "rows").mkdir(parents=True)
    assert not course.output("daft").exists()


def test_a_contestant_that_fails_is_one_sentence() -> None:
    assert _finished([sys.executable, "-c", "print(3)"]) == "3\n"
    with pytest.raises(DidNotFinishError, match=r"-c raise SystemExit\('no space'\) ends with 1: no space"):
        _finished([sys.executable, "-c", "raise SystemExit('no space')"])


def test_every_contestant_comes_first_in_some_turn() -> None:
    assert in_turn("abc", 0) == ["a", "b", "c"]
    assert in_turn("abc", 1) == ["b", "c", "a"]
    assert in_turn("abc", 5) == ["c", "a", "b"]


def test_the_batches_of_the_good_engineers_loop_go_across_clips() -> None:
    """Clips of 10 and 30 frames, each frame with a value of its own: full batches, and what is left."""
    values = np.arange(40, dtype=np.uint8)
    frames = np.broadcast_to(values[:, None, None, None], (40, SIZE, SIZE, 3))
    clips = [("a", list(range(10)), frames[:10]), ("b", list(range(30)), frames[10:])]
    batches = list(_full_batches(iter(clips)))
    assert [len(pixels) for _, _, pixels in batches] == [BATCH_FRAMES, BATCH_FRAMES, 40 - 2 * BATCH_FRAMES]
    rows = []
    for names, index, pixels in batches:
        rows += zip(names, index, pixels[:, 0, 0, 0].tolist(), strict=True)
    assert rows == [("a", i, i) for i in range(10)] + [("b", i, 10 + i) for i in range(30)]
