"""Labels tables joined with their clips."""

from pathlib import Path

import numpy as np
import pytest
from labelled_clips import FRAMES, write_labelled, write_rows

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS
from artifactscan.storage.digest import digest
from artifactscan.training.labelled_frames import load_labelled_frames


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_labelled(tmp_path / "data", clips=2, seconds=0.5)


def test_clips_may_be_the_folder_itself_or_the_one_above(table: Path) -> None:
    from_above, from_clips, none = (
        load_labelled_frames([str(table)], clips) for clips in ([str(table.parent)], [str(table.parent / "clips")], [])
    )
    assert from_above.clips == from_clips.clips == none.clips
    assert from_above.files == ["clips/clip0.mp4"] * len(FRAMES) + ["clips/clip1.mp4"] * len(FRAMES)
    assert from_above.y.shape == (8, 4)
    assert from_above.clips["clips/clip0.mp4"].size_bytes == (table.parent / "clips/clip0.mp4").stat().st_size


def test_several_tables(table: Path, tmp_path: Path) -> None:
    other = write_labelled(tmp_path / "other", clips=1, seconds=0.5)
    with pytest.raises(UsageError, match=r"name a clip 'clips/clip0\.mp4'.*rename one of the two"):
        load_labelled_frames([str(table), str(other)], [])
    (other.parent / "clips/clip0.mp4").rename(other.parent / "clips/else.mp4")
    write_rows(other, [("clips/else.mp4", 1, 0, 1, 0, 1)])
    assert load_labelled_frames([str(table), str(other)], []).table.num_rows == 9
    with pytest.raises(UsageError, match="3 folders for 2 --labels"):
        load_labelled_frames([str(table), str(other)], ["a", "b", "c"])


def test_one_clip_under_two_names_is_refused(table: Path, tmp_path: Path) -> None:
    """As two videos it could be in training and in the test."""
    clips = str(table.parent / "clips")
    other = write_rows(tmp_path / "other.csv", [("clip0.mp4", 1, 0, 1, 0, 1)])
    with pytest.raises(UsageError, match=r"clip0\.mp4 twice, as 'clips/clip0\.mp4' and 'clip0\.mp4'; use one"):
        load_labelled_frames([str(table), str(other)], [clips])


def test_the_majority_counts_the_votes_of_all_tables(table: Path) -> None:
    """Two of three annotators say 1 in one table, and it is three of five with the two tables that say 0 once each."""
    tables = []
    for number, votes in enumerate(("111", "0", "0")):
        rows = [f"clips/clip0.mp4,{FRAMES[0]},{vote},0,0,0,annotator {number}.{n}" for n, vote in enumerate(votes)]
        tables.append(table.parent / f"votes{number}.csv")
        tables[-1].write_text("\n".join([f"file,frame_index,{','.join(LABELS)},annotator", *rows]))
    merged = load_labelled_frames([str(one) for one in tables], [str(table.parent)], rule="majority")
    assert merged.y.tolist() == [[1, 0, 0, 0]]


def test_contradicting_labels_need_a_rule(table: Path) -> None:
    again = write_rows(table.parent / "again.csv", [("clips/clip0.mp4", 1, 1, 1, 1, 1)])
    with pytest.raises(UsageError, match=r"frame 1 of 'clips/clip0\.mp4' differently"):
        load_labelled_frames([str(table), str(again)], [])
    assert load_labelled_frames([str(table), str(again)], [], rule="any").y[0].tolist() == [1, 1, 1, 1]


def test_the_digest_depends_on_the_labels_only(table: Path) -> None:
    before = load_labelled_frames([str(table)], []).digest
    table.write_text(table.read_text() + "\n")
    assert load_labelled_frames([str(table)], []).digest == before
    rows = table.read_text().splitlines()
    rows[1] = rows[1][:-1] + str(1 - int(rows[1][-1]))
    table.write_text("\n".join(rows))
    assert load_labelled_frames([str(table)], []).digest != before


def graded(folder: Path, name: str, *rows: str) -> str:
    header = ",".join(["file", "frame_index", *SEVERITY_COLUMNS])
    (folder / name).write_text("\n".join([header, *(f"clips/clip0.mp4,{row}" for row in rows)]))
    return str(folder / name)


def test_grades_of_several_annotators_are_the_targets(table: Path) -> None:
    first = graded(table.parent, "first.csv", "1,0,1,2,3", "5,3,0,0,0")
    second = graded(table.parent, "second.csv", "1,0,0,1,3", "5,0,0,0,0")
    labelled = load_labelled_frames([first, second], [])
    assert labelled.y.tolist() == [[0, 0, 1, 1], [1, 0, 0, 0]]
    assert labelled.targets.dtype == np.float32
    assert labelled.targets.tolist() == pytest.approx(np.array([[0, 1 / 6, 0.5, 1], [0.5, 0, 0, 0]]))
    assert labelled.graded


def test_graded_rows_are_kept_by_annotator_as_they_were_before_merging(table: Path) -> None:
    first = graded(table.parent, "first.csv", "1,0,1,2,3", "5,3,0,0,0")
    second = graded(table.parent, "second.csv", "1,0,0,1,3", "1,1,0,1,3")  # two people whom nobody names
    write_rows(table, [("clips/clip1.mp4", 1, 1, 0, 0, 1)])
    labelled = load_labelled_frames([first, second, str(table)], [])
    assert {name: rows["severity_boundary"].to_pylist() for name, rows in labelled.annotators.items()} == {
        first: [0, 3]
    }
    assert labelled.table["severity_boundary"].to_pylist() == [pytest.approx(1 / 3), 3, None]


def test_targets_of_frames_without_grades_are_their_labels(table: Path) -> None:
    plain = load_labelled_frames([str(table)], [])
    assert not plain.graded
    assert (plain.targets == plain.y).all()
    write_rows(table, [("clips/clip1.mp4", 1, 1, 0, 0, 1)])
    mixed = load_labelled_frames([str(table), graded(table.parent, "grades.csv", "1,1,1,2,3")], [])
    assert mixed.targets.tolist() == pytest.approx(np.array([[1 / 3, 1 / 3, 2 / 3, 1], [1, 0, 0, 1]]))


def test_the_digest_depends_on_grades_where_there_are_any(table: Path) -> None:
    digests = [
        load_labelled_frames([graded(table.parent, "a.csv", row)], []).digest for row in ("1,2,0,0,0", "1,3,0,0,0")
    ]
    write_rows(table, [("clips/clip0.mp4", 1, 1, 0, 0, 0)])
    plain = load_labelled_frames([str(table)], [])
    assert len({*digests, plain.digest}) == 3
    assert plain.digest == digest([["clips/clip0.mp4"], [1], [1], [0], [0], [0]]), "as version 0.1.0 had it"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "have no rows; label at least some frames"),
        ([("clips/gone.mp4", 1, 0, 0, 0, 0)], "name 'clips/gone.mp4'"),
        ([("clips/clip0.mp4", 1, 0, 2, 0, 0)], "texture '2', which is neither 0 nor 1"),
    ],
)
def test_unusable_tables_are_refused(table: Path, rows: list[tuple], words: str) -> None:
    write_rows(table, rows)
    with pytest.raises(UsageError, match=words):
        load_labelled_frames([str(table)], [])


def test_makers_come_from_the_column_and_else_from_the_path(table: Path) -> None:
    frames = load_labelled_frames([str(table)], [])
    assert frames.makers() is None
    assert frames.makers("clips/{generator}0.mp4") == ("clip",) * 4 + ("",) * 4
    named = table.with_name("named.csv")
    lines = table.read_text().splitlines()
    named.write_text("\n".join([f"{lines[0]},generator", f"{lines[1]},camera", *(f"{line}," for line in lines[2:])]))
    told = load_labelled_frames([str(named)], [])
    one, two = dict.fromkeys(told.files)
    assert told.makers() == ("camera",) * 4 + ("",) * 4  # of all its frames, though one row has it
    assert told.maker_of_file() == {one: "camera"}
    assert told.maker_of_file("clips/{generator}1.mp4") == {one: "camera", two: "clip"}
    assert (told.digest == frames.digest, frames.digest) == (False, load_labelled_frames([str(table)], []).digest)


def test_makers_that_are_refused(table: Path) -> None:
    frames = load_labelled_frames([str(table)], [])
    with pytest.raises(
        UsageError, match=r"--generator-pattern '\{model\}' does not name \{generator\}; write it where"
    ):
        frames.makers("{model}")
    with pytest.raises(
        UsageError, match=r"--generator-pattern 'made/\{generator\}' matches no clip, such as clips/clip0"
    ):
        frames.makers("made/{generator}")
    two = table.with_name("two.csv")
    lines = table.read_text().splitlines()
    two.write_text(
        "\n".join([f"{lines[0]},generator", f"{lines[1]},sora", f"{lines[2]},veo", *(f"{x}," for x in lines[3:])])
    )
    with pytest.raises(UsageError, match=r"labels name two generators of clips/clip0.mp4, sora and veo; keep the one"):
        load_labelled_frames([str(two)], []).makers()
