"""Which frames are to be judged, and which questions are open."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from extraction import write_extraction
from judge_answers import answer, answers_table

from artifactscan.annotation.frame_index import read_index
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import plan_asks
from artifactscan.judge.wanted_frames import open_asks, read_wanted


@pytest.fixture
def index(tmp_path: Path) -> pa.Table:
    return read_index(str(write_extraction(tmp_path / "x", {"b.mp4": 2, "a.mp4": 1})))


def test_all_frames_of_the_index_or_those_that_a_table_names(index: pa.Table, tmp_path: Path) -> None:
    assert read_wanted("", index) == [("a.mp4", 0), ("b.mp4", 0), ("b.mp4", 12)]
    (tmp_path / "only.csv").write_text("note,frame_index, file\nx,12,b.mp4 \ny,12.0,b.mp4\n")
    pq.write_table(pa.table({"file": ["b.mp4"], "frame_index": [12], "p": [0.5]}), tmp_path / "only.parquet")
    for name in ("only.csv", "only.parquet"):
        assert read_wanted(str(tmp_path / name), index) == [("b.mp4", 12)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"only\.csv cannot be read: there is no such file"),
        ("file\na.mp4\n", r"only\.csv cannot be read: .*frame_index"),
        ("file,frame_index\na.mp4,x\n", r"only\.csv cannot be read"),
        ("file,frame_index\na.mp4,\n", r"only\.csv cannot be read: a row has no file or no frame_index"),
        ("file;frame_index\na.mp4;0\n", r"only\.csv cannot be read: its columns are separated by semicolons; save it"),
        ("file,frame_index\n", r"only\.csv names no frame"),
        ("file,frame_index\nc.mp4,0\n", "labels 'c.mp4', a file of which the index has no frame"),
        (
            "file,frame_index\nb.mp4,5\n",
            "frame 5 of 'b.mp4', which is not in the index; the nearest that is there is 0",
        ),
    ],
)
def test_a_table_that_names_no_frames_of_the_index(
    index: pa.Table, tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "only.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_wanted(str(tmp_path / "only.csv"), index)


def test_an_index_without_frames(index: pa.Table) -> None:
    with pytest.raises(UsageError, match="the index has no frames"):
        read_wanted("", index.slice(0, 0))


def test_questions_are_open_until_they_are_answered(index: pa.Table) -> None:
    asks = plan_asks(index, read_wanted("", index), neighbours=0, gap_s=1, repeat_share=1)
    left = open_asks(asks, answers_table(answer(0, "0000"), answer(12, None, file="b.mp4", ask=1)))
    keys = zip(left["file"].to_pylist(), left["frame_index"].to_pylist(), left["ask"].to_pylist(), strict=True)
    assert list(keys) == [("a.mp4", 0, 1), ("b.mp4", 0, 0), ("b.mp4", 0, 1), ("b.mp4", 12, 0)]
