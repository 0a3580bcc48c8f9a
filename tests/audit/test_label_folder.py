"""Labels that come back for a night's sample."""

from pathlib import Path

import pyarrow as pa
import pytest

from artifactscan.audit.label_folder import PEOPLE, LabelFolder, labels_by_source
from artifactscan.audit.night_tables import LABEL_SAMPLE
from artifactscan.labels import LABELS, SCORE_COLUMNS

HEADER = "file,frame_index,boundary,texture,motion,object,annotator,note\n"


def sample(*frames: tuple[str, int]) -> pa.Table:
    """LABEL_SAMPLE of these paths and frames."""
    fixed = {
        "pts_s": 0.0,
        "clip_frames": 9,
        "clip_probability": 0.5,
        "frame_probability": 1.0,
        "seed": 1,
        "position": 0,
    }
    return pa.Table.from_pylist(
        [
            fixed
            | dict.fromkeys(SCORE_COLUMNS, 0.5)
            | {"video_id": f"id-{path}", "uri": f"/c/{path}", "path": path, "frame_index": index}
            for path, index in frames
        ],
        LABEL_SAMPLE,
    )


SAMPLE = sample(("x/a.mp4", 0), ("x/a.mp4", 6), ("b.mp4", 3))


@pytest.fixture
def folder(tmp_path: Path) -> LabelFolder:
    for name in ("export/csv", "labels", "judge"):
        (tmp_path / name).mkdir(parents=True)
    return LabelFolder(str(tmp_path))


def motion(labels: pa.Table) -> dict[tuple[str, int], int]:
    return {(row["video_id"], row["frame_index"]): row["motion"] for row in labels.to_pylist()}


def test_a_half_filled_sheet_gives_the_frames_that_are_filled_in(folder: LabelFolder) -> None:
    rows = "x/a.mp4,0,0,0,1,0,anna,\nx/a.mp4,6,,,,,,\nb.mp4,3,0,0,0,0,,\nelsewhere.mp4,0,1,1,1,1,,\n"
    Path(folder.sheet).write_text(HEADER + rows)
    found, notes = labels_by_source(SAMPLE, folder, human_labels=None)
    assert (list(found), notes) == ([PEOPLE], [])
    assert motion(found[PEOPLE]) == {("id-x/a.mp4", 0): 1, ("id-b.mp4", 3): 0}
    assert found[PEOPLE].column_names == ["video_id", "frame_index", *LABELS]


def test_grades_count_as_labels(folder: LabelFolder) -> None:
    header = "file,frame_index,severity_boundary,severity_texture,severity_motion,severity_object\n"
    Path(folder.imported, "graded.csv").write_text(f"{header}x/a.mp4,0,0,0,2,1\nx/a.mp4,6,0,0,1,3\n")
    found, _ = labels_by_source(SAMPLE, folder, human_labels=None)
    assert motion(found[PEOPLE]) == {("id-x/a.mp4", 0): 1, ("id-x/a.mp4", 6): 0}


def test_several_people_vote_and_a_tie_counts_as_shown(folder: LabelFolder, tmp_path: Path) -> None:
    for name, first, second in (("anna", 1, 0), ("ben", 0, 0), ("carl", 0, 1)):
        Path(folder.imported, f"{name}.csv").write_text(
            f"{HEADER}x/a.mp4,0,0,0,{first},0,{name},\nx/a.mp4,6,0,0,{second},0,{name},\n"
        )
    more = tmp_path / "dora.csv"
    more.write_text(f"{HEADER}x/a.mp4,6,0,0,1,0,dora,\n")
    found, notes = labels_by_source(SAMPLE, folder, human_labels=str(more))
    assert notes == []
    assert motion(found[PEOPLE]) == {("id-x/a.mp4", 0): 0, ("id-x/a.mp4", 6): 1}


def test_one_person_in_two_tables_has_one_vote(folder: LabelFolder) -> None:
    row = "x/a.mp4,0,0,0,{},0,{},\n"
    for name, rows in (("first", [(0, "anna"), (0, "ben")]), ("again", [(0, "anna")]), ("carl", [(1, "carl")])):
        Path(folder.imported, f"{name}.csv").write_text(HEADER + "".join(row.format(*one) for one in rows))
    Path(folder.sheet).write_text(HEADER + row.format(1, "dora"))
    found, _ = labels_by_source(SAMPLE, folder, human_labels=None)
    assert motion(found[PEOPLE]) == {("id-x/a.mp4", 0): 1}, "two against two, not three"


def test_a_judge_is_kept_apart_from_people(folder: LabelFolder) -> None:
    Path(folder.judge_labels).write_text(f"{HEADER}x/a.mp4,0,0,0,0,0,judge:m,\nb.mp4,3,0,0,1,0,judge:m,\n")
    Path(folder.sheet).write_text(f"{HEADER}x/a.mp4,0,0,0,1,0,,\n")
    found, _ = labels_by_source(SAMPLE, folder, human_labels=None)
    assert list(found) == [PEOPLE, "judge:m"]
    assert motion(found[PEOPLE]) == {("id-x/a.mp4", 0): 1}
    assert motion(found["judge:m"]) == {("id-x/a.mp4", 0): 0, ("id-b.mp4", 3): 1}


def test_a_damaged_table_costs_its_labels_only_and_is_named(folder: LabelFolder) -> None:
    Path(folder.sheet).write_text(f"{HEADER}x/a.mp4,0,0,0,maybe,0,,\n")
    Path(folder.imported, "good.csv").write_text(f"{HEADER}b.mp4,3,0,0,1,0,,\n")
    found, [note] = labels_by_source(SAMPLE, folder, human_labels=None)
    assert motion(found[PEOPLE]) == {("id-b.mp4", 3): 1}
    assert "has motion 'maybe', which is neither 0 nor 1" in note
    assert note.endswith("until then it counts for no estimate")


def test_nothing_came_back(tmp_path: Path) -> None:
    assert labels_by_source(SAMPLE, LabelFolder(str(tmp_path / "none")), human_labels=None) == ({}, [])


def test_rows_merged_of_people_and_a_judge_are_neither_s(folder: LabelFolder) -> None:
    merged = "x/a.mp4,0,0,0,1,0,alice; judge:m,\nx/a.mp4,6,0,0,1,0,judge:m; alice,\nb.mp4,3,0,0,0,0,alice; ben,\n"
    Path(folder.imported, "merged.csv").write_text(HEADER + merged)
    found, notes = labels_by_source(SAMPLE, folder, human_labels=None)
    assert {source: motion(labels) for source, labels in found.items()} == {PEOPLE: {("id-b.mp4", 3): 0}}
    assert notes == [
        f"1 rows of labels by {who} are of people and a judge together and count for no estimate; give the labels of "
        "each in rows of their own"
        for who in ("alice; judge:m", "judge:m; alice")
    ]
