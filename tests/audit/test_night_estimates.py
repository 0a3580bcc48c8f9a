"""Estimates of a night from the labels that came back for its sample and for those of the nights before."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from arrived import arrived, video
from nights import FIRST, SECOND, a_night
from scored_runs import motion, write_run

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.label_sample import draw_clips, draw_frames
from artifactscan.audit.night import Night
from artifactscan.audit.night_estimates import night_estimates
from artifactscan.audit.night_tables import ALL, ARRIVALS, RECENT, TONIGHT
from artifactscan.labels import LABELS
from artifactscan.storage.parquet import read_table
from artifactscan.store.stored_rows import stored_frames

CLIPS, FRAMES = 60, 8
HEADER = "file,frame_index,boundary,texture,motion,object,annotator,note\n"


def commit(store: AuditStore, name: str, run: str, *, share: float = 0.5, first: int = 0) -> Night:
    """A night of CLIPS videos, numbered from ``first``, every third of which shows motion in all its frames."""
    scores = {
        f"/corpus/{n:03}.mp4": motion(*[0.8 if n % 3 == 0 else 0.2] * FRAMES) for n in range(first, first + CLIPS)
    }
    write_run(store.scores, run, scores)
    rows = stored_frames(store.scores, [run], pa.array(_ids(store, run), pa.string()))
    ids = dict(zip(rows["uri"].to_pylist(), rows["video_id"].to_pylist(), strict=True))
    arrivals = arrived(
        *[
            {
                **video(frames=FRAMES, peak=0.8 if n % 3 == 0 else 0.2, motion=FRAMES if n % 3 == 0 else 0),
                "video_id": ids[uri],
                "uri": uri,
                "path": uri.removeprefix("/corpus/"),
            }
            for n, uri in enumerate(scores, first)
        ]
    )
    sample = draw_frames(draw_clips(arrivals, share, name), rows, name)
    folder = store.write_tables(name, {"arrivals": arrivals, "label_sample": sample})
    night = a_night(name, tables=folder, runs=(run,), spec_digest="spec")
    store.commit(night)
    return night


def _ids(store: AuditStore, run: str) -> list[str]:
    return [
        one for file in store.scores.ledger_files(run) for one in read_table(file, ["video_id"])["video_id"].to_pylist()
    ]


def label(store: AuditStore, night: Night, *, clips: int | None = None, by: str = "", wrong: bool = False) -> None:
    """Labels the first ``clips`` of the sample as they are, or the other way round."""
    rows = store.label_sample(night).to_pylist()
    folder = store.label_folder(night.night)
    place = Path(folder.judge_labels if by.startswith("judge:") else folder.sheet)
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{row['path']},{row['frame_index']},0,0,{int((int(row['path'][:3]) % 3 == 0) != wrong)},0,{by},\n"
        for row in rows
        if clips is None or row["position"] < clips
    ]
    place.write_text(HEADER + "".join(lines))


def estimates(store: AuditStore, night: Night, *earlier: Night, most: int = 14) -> list[dict[str, Any]]:
    """The rows on the share of frames with motion in all clips."""
    found = night_estimates(store, night, earlier, most_nights=most)
    assert found.notes == ()
    wanted = {"label": "motion", "unit": "frames", "group": ALL}
    return [row for row in found.table.to_pylist() if wanted.items() <= row.items()]


def test_labels_on_tonight_s_sample_give_tonight_s_estimates(tmp_path: Path) -> None:
    store = AuditStore(str(tmp_path))
    night = commit(store, FIRST, "run1")
    [row] = estimates(store, night)
    assert (row["scope"], row["drawn"], row["labelled_clips"], row["estimate"]) == (TONIGHT, 30, 0, None)
    label(store, night)
    [row] = estimates(store, night)
    assert (row["clips"], row["labelled_clips"], row["labelled_frames"]) == (60, 30, 180)
    assert row["estimate_low"] < 1 / 3 < row["estimate_high"]
    assert row["correlation"] == 1
    # The scores tell exactly, so the estimate is that of all clips, whatever the sample has.
    assert row["estimate"] == np.float64(1 / 3)
    assert row["flag_rate"] == np.float64(1 / 3)


def test_while_tonight_s_sample_waits_the_nights_before_say_how_it_was(tmp_path: Path) -> None:
    store = AuditStore(str(tmp_path))
    first, second = commit(store, FIRST, "run1"), commit(store, SECOND, "run2", first=CLIPS)
    label(store, first)
    tonight, recent = estimates(store, second, first)
    assert (tonight["scope"], tonight["drawn"], tonight["estimate"]) == (TONIGHT, 30, None)
    assert (recent["scope"], recent["nights"], recent["clips"], recent["labelled_clips"]) == (RECENT, 1, 60, 30)
    label(store, second, clips=15)
    tonight, recent = estimates(store, second, first)
    assert (tonight["labelled_clips"], recent["nights"], recent["clips"]) == (15, 2, 120)
    assert recent["labelled_clips"] == 45
    assert recent["estimate_high"] - recent["estimate_low"] < tonight["estimate_high"] - tonight["estimate_low"]
    [tonight] = estimates(store, second, first, most=1)
    assert tonight["scope"] == TONIGHT


def test_nights_of_another_scorer_and_without_a_sample_do_not_count(tmp_path: Path) -> None:
    store = AuditStore(str(tmp_path))
    first = commit(store, FIRST, "run1")
    label(store, first)
    tables = store.write_tables(SECOND, {"arrivals": store.table(first, "arrivals", ARRIVALS)})
    second = a_night(SECOND, tables=tables, runs=(), spec_digest="spec")
    assert [row["scope"] for row in estimates(store, second, first)] == [RECENT]
    assert estimates(store, a_night(SECOND, tables=tables, scorer=SECOND), first) == []


def test_people_are_believed_before_a_judge(tmp_path: Path) -> None:
    store = AuditStore(str(tmp_path))
    night = commit(store, FIRST, "run1")
    label(store, night, by="judge:m", wrong=True)
    [row] = estimates(store, night)
    assert row["labelled_by"] == "judge:m"
    assert row["estimate"] > 0.5
    label(store, night, clips=5)
    [row] = estimates(store, night)
    assert row["labelled_by"] == "judge:m", "five clips are too few"
    label(store, night, clips=20)
    [row] = estimates(store, night)
    assert (row["labelled_by"], row["labelled_clips"]) == ("people", 20)
    assert row["estimate"] < 0.5


def test_a_damaged_sheet_is_noted(tmp_path: Path) -> None:
    store = AuditStore(str(tmp_path))
    night = commit(store, FIRST, "run1")
    label(store, night)
    sheet = Path(store.label_folder(FIRST).sheet)
    sheet.write_text(sheet.read_text().replace(",0,1,0,", ",0,x,0,", 1))
    found = night_estimates(store, night, [], most_nights=14)
    assert len(found.notes) == 1 and "has motion 'x'" in found.notes[0]
    assert set(found.table["labelled_clips"].to_pylist()) == {0}
    assert found.table.num_rows == len(LABELS) * 2
