"""Human labels beside the scorer's flags."""

from pathlib import Path

from parts import THRESHOLDS
from scored_runs import motion, write_run

from artifactscan.audit.corpus_state import current_ledger
from artifactscan.audit.human_labels import labels_with_flags
from artifactscan.store.layout import Store


def joined(tmp_path: Path, labels: str, *, header: str = "") -> list[dict]:
    store = Store(str(tmp_path / "store"))
    run = write_run(store, "run1", {"/c/x/a.mp4": motion(0.9, 0.1, 0.6), "/c/b.mp4": motion(0.4)})
    path = tmp_path / "labels.csv"
    path.write_text(f"file,frame_index,boundary,texture,motion,object{header}\n{labels}")
    table = labels_with_flags(
        str(path), current_ledger(store, [run], run), store, "spec", corpus="/c", thresholds=THRESHOLDS
    )
    return table.sort_by([("video", "ascending"), ("y_motion", "ascending")]).to_pylist()


def test_each_labelled_frame_stands_beside_what_is_flagged(tmp_path: Path) -> None:
    rows = joined(tmp_path, "x/a.mp4,0,0,0,1,0\nx/a.mp4,1,0,1,0,0\nb.mp4,0,0,0,1,0\nelsewhere.mp4,0,0,0,1,0\n")
    assert len(rows) == 3
    assert len({row["video"] for row in rows}) == 2
    found = sorted((row["y_motion"], row["flagged_motion"], row["y_texture"], row["flagged_texture"]) for row in rows)
    assert found == [(0, False, 1, False), (1, False, 0, False), (1, True, 0, False)]


def test_labels_of_other_frames_say_nothing(tmp_path: Path) -> None:
    assert joined(tmp_path, "x/a.mp4,99,0,0,1,0\n") == []


def test_labels_by_a_judge_are_not_people_s(tmp_path: Path) -> None:
    rows = "x/a.mp4,0,0,0,1,0,judge:m\nx/a.mp4,1,0,0,1,0,anna\nx/a.mp4,1,0,0,1,0,judge:m\nb.mp4,0,0,0,1,0,anna\n"
    assert len(joined(tmp_path, rows, header=",annotator")) == 1
