"""The canary clips: made once, checked every night, compared frame by frame."""

import json
from pathlib import Path

import av
import pyarrow as pa
import pytest
from scored_runs import motion, write_run

from artifactscan.audit import canaries
from artifactscan.audit.night_tables import CANARIES
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.store.layout import Store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("store") / "canary")
    canaries.ensure_clips(root, 5)
    return root


def test_the_clips_show_every_label_and_one_shows_none(root: str) -> None:
    planted = canaries.planted_labels(root)
    assert sorted(planted) == [f"{number:05d}.mp4" for number in range(5)]
    assert all(any(labels[label] for labels in planted.values()) for label in LABELS)
    assert any(not any(labels.values()) for labels in planted.values())
    for name in planted:
        with av.open(f"{canaries.clips_folder(root)}/{name}") as container:
            assert sum(1 for _ in container.decode(video=0)) == 72


def test_they_are_made_only_once(root: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(root).rglob("*")}
    canaries.ensure_clips(root, 9)
    assert {path: path.stat().st_mtime_ns for path in Path(root).rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("clips/00001.mp4", None, r"canary .*00001\.mp4 is gone; restore it, or remove the folder canary/"),
        ("clips/00001.mp4", b"other", r"canary .*00001\.mp4 is not the clip that was made for this store"),
        ("labels.csv", b"other", r"canary .*labels\.csv is not"),
        ("clips.json", b"{", r"clips\.json is damaged"),
    ],
)
def test_a_changed_file_is_named(tmp_path: Path, root: str, name: str, damage: bytes | None, why: str) -> None:
    copy = tmp_path / "canary"
    for path in Path(root).rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    canaries.ensure_clips(str(copy), 5)
    if damage is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(damage)
    with pytest.raises(UsageError, match=why):
        canaries.ensure_clips(str(copy), 5)


def test_half_made_clips_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "00000.mp4").write_bytes(b"half")
    canaries.ensure_clips(str(tmp_path), 4)
    assert len(json.loads((tmp_path / "clips.json").read_text())) == 5
    canaries.ensure_clips(str(tmp_path), 4)


def test_a_missing_reference_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no scores of the canaries.*--accept-scorer"):
        canaries.canary_scores(Store(str(tmp_path)))


def planted(*clips: str) -> dict[str, dict[str, bool]]:
    return {clip: {label: label == "motion" for label in LABELS} for clip in clips}


def scored(tmp_path: Path, name: str, videos: dict) -> tuple[pa.Table, dict[str, str]]:
    store = Store(str(tmp_path / name))
    write_run(store, "run1", videos)
    return canaries.canary_scores(store)


def test_the_largest_shift_of_one_frame_counts(tmp_path: Path) -> None:
    before, _ = scored(tmp_path, "before", {"/old/a.mp4": motion(0.5, 0.7), "/old/b.mp4": motion(0.1, 0.1)})
    now, reasons = scored(tmp_path, "now", {"/new/b.mp4": motion(0.1, 0.1), "/new/a.mp4": motion(0.6, 0.4)})
    table = canaries.compare_scores(now, before, planted("a.mp4", "b.mp4"), reasons)
    assert table.schema.equals(CANARIES)
    rows = {(row["clip"], row["label"]): row for row in table.to_pylist()}
    moved = rows["a.mp4", "motion"]
    assert (moved["frames"], moved["planted"], moved["reason"]) == (2, True, None)
    assert (moved["score"], moved["reference"], moved["shift"]) == (
        pytest.approx(0.5),
        pytest.approx(0.6),
        pytest.approx(0.3),
    )
    assert {row["shift"] for key, row in rows.items() if key != ("a.mp4", "motion")} == {0.0}
    assert rows["a.mp4", "texture"]["planted"] is False


def test_a_clip_that_cannot_be_compared_says_why(tmp_path: Path) -> None:
    before, _ = scored(tmp_path, "before", {"/a.mp4": motion(0.5), "/b.mp4": motion(0.5), "/d.mp4": motion(0.1)})
    now, reasons = scored(tmp_path, "now", {"/a.mp4": "crashed", "/b.mp4": motion(0.5, 0.5), "/c.mp4": motion(0.5)})
    table = canaries.compare_scores(now, before, planted("a.mp4", "b.mp4", "c.mp4", "d.mp4"), reasons)
    told = {row["clip"]: row["reason"] for row in table.to_pylist()}
    assert told == {
        "a.mp4": "crashed: it is broken",
        "b.mp4": "2 frames are scored tonight and 1 in the reference, or not the same ones",
        "c.mp4": "the reference has no score of it",
        "d.mp4": "0 frames are scored tonight and 1 in the reference, or not the same ones",
    }
    assert table["shift"].null_count == table.num_rows


def test_planted_clips_are_compared_with_the_others_by_tonight_s_scores() -> None:
    def row(clip: int, label: str, score: float | None) -> dict[str, object]:
        shown = label == "motion" and clip < 4
        return {"clip": f"{clip}.mp4", "label": label, "frames": 8, "planted": shown, "score": score}

    rows = [row(clip, label, 0.9 - clip / 10) for clip in range(8) for label in LABELS]
    rows += [row(8, label, None) for label in LABELS]  # not scored tonight
    found = canaries.compare_planted_canaries(pa.Table.from_pylist(rows, CANARIES))
    assert [(one.label, one.planted, one.others, one.auroc) for one in found] == [
        ("boundary", 0, 8, None),
        ("texture", 0, 8, None),
        ("motion", 4, 4, 1.0),
        ("object", 0, 8, None),
    ]
    assert [one.auroc for one in canaries.compare_planted_canaries(CANARIES.empty_table())] == [None] * 4
