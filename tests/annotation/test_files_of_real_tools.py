"""Files that the tools wrote themselves, of exports of events that people corrected, as labels of frames."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from paths import ROOT

from artifactscan.annotation.labelling_tools import import_labels
from artifactscan.annotation.video_index import VIDEO_INDEX
from artifactscan.labels import LABELS
from artifactscan.storage.parquet import write_table

DATA = ROOT / "tests" / "data" / "labelling_tools"
FPS, STEP = 30.0, 15
SAMPLED = {"a": 20, "b": 40, "c": 40, "d": 40, "e": 20}
"""Clip → its sampled frames."""


@pytest.fixture
def index(tmp_path: Path) -> str:
    rows = [
        {"video_id": clip * 32, "uri": f"/clips/day 1/{clip}.mp4", "file": f"day 1/{clip}.mp4", "fps": FPS}
        | {"frame_index": number * STEP, "pts_s": number * STEP / FPS, "written": None}
        for clip, count in SAMPLED.items()
        for number in range(count)
    ]
    write_table(pa.Table.from_pylist(rows, VIDEO_INDEX), str(tmp_path / "index.parquet"))
    return str(tmp_path / "index.parquet")


def shown(table: pa.Table) -> dict[tuple[str, str | None], dict[str, list[int]]]:
    """Clip and annotator → label → the frames that show it."""
    found: dict[tuple[str, str | None], dict[str, list[int]]] = {}
    for row in table.to_pylist():
        of_clip = found.setdefault((row["file"].removeprefix("day 1/")[0], row["annotator"]), {})
        for label in LABELS:
            if row[label]:
                of_clip.setdefault(label, []).append(row["frame_index"])
    return found


def test_temporal_detections_of_fiftyone(index: str) -> None:
    table, unlabelled = import_labels("fiftyone", str(DATA / "fiftyone_1.22.1_samples.json"), index)
    assert shown(table) == {
        ("a", "anna"): {"motion": [60, 75, 90, 105, 120], "object": [105, 120, 135, 150, 165]},
        ("b", "ben"): {"texture": [0, 15, 30]},
        ("c", None): {},
    }
    assert Counter(row["file"][6] for row in table.to_pylist()) == {"a": 20, "b": 40, "c": 40}
    assert unlabelled == SAMPLED["d"]


def test_timelines_of_label_studio(index: str) -> None:
    table, unlabelled = import_labels("label-studio", str(DATA / "label_studio_1.23.2_project.json"), index)
    assert shown(table) == {
        ("a", "1"): {},
        ("b", "1"): {"texture": [0, 15], "motion": [75, 90, 105, 120, 135]},
    }
    assert Counter(row["file"][6] for row in table.to_pylist()) == {"a": 20, "b": 40}
    assert unlabelled == SAMPLED["c"]
