"""An audit with a sample for labelling, on a real local Ray: drawn, labelled by a judge and by a person, read back."""

import csv
import shutil
from pathlib import Path

import pytest
from judge_server import JudgeServer

from artifactscan.audit import canaries
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night_tables import ESTIMATES
from artifactscan.demo.marks import write_checkpoint, write_night
from artifactscan.jobs.audit import main as audit
from artifactscan.jobs.report import main as report
from artifactscan.labels import LABELS
from artifactscan.storage.parquet import read_table

pytestmark = pytest.mark.long


def motion_in_frames(store: AuditStore, night: str) -> dict:
    table = read_table(f"{store.folder(night)}/estimates.parquet")
    assert table.schema.equals(ESTIMATES)
    wanted = {"label": "motion", "unit": "frames", "group": "all", "scope": "tonight"}
    [row] = [row for row in table.to_pylist() if wanted.items() <= row.items()]
    return row


def test_a_judge_then_a_person_label_the_sample(
    tmp_path: Path, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, root = write_checkpoint(tmp_path / "checkpoint"), tmp_path / "store"
    canaries.ensure_clips(str(root / "canary"), 4)
    corpus = tmp_path / "corpus"
    write_night(corpus, "one", {"sora": (12, range(4), "motion")})
    flags = ["--corpus", str(corpus), "--store", str(root), "--checkpoint", checkpoint, "--canary-clips", "4"]
    flags += [
        "--decode-actors",
        "1",
        "--quiet",
        "--resample-share",
        "0",
        "--worst-videos",
        "0",
        "--groups",
        "{generator}",
    ]
    with JudgeServer() as server:
        server.grade(lambda question: {"motion": 3})
        judge = ["--judge-endpoint", server.url, "--judge-model", "stub-vl"]
        assert audit([*flags, "--judge-share", "0.9", *judge]) == 0
        asked = len(server.questions)
    capsys.readouterr()
    store = AuditStore(str(root))
    [night] = store.nights()
    sample, folder = store.label_sample(night), store.label_folder(night.night)
    assert set(sample["clip_probability"].to_pylist()) == {11 / 12}
    assert asked >= sample.num_rows
    assert f"{sample.num_rows:,} frames drawn for labelling went to judge:stub-vl" in night.notes
    row = motion_in_frames(store, night.night)
    assert (row["labelled_by"], row["drawn"], row["labelled_clips"], row["estimate"]) == ("judge:stub-vl", 11, 11, 1)
    page = root / "nights" / night.night / "report.html"
    assert "From labels by judge:stub-vl on 11 of 12 clips of tonight" in page.read_text()

    with Path(folder.sheet).open() as file:
        rows = list(csv.DictReader(file))
    for one in rows:
        one |= dict.fromkeys(LABELS, "0") | {
            "motion": str(int(one["file"] in {f"sora/one-{n:02}.mp4" for n in range(4)}))
        }
    with Path(folder.sheet).open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert report(["--store", str(root)]) == 0
    row = motion_in_frames(store, night.night)
    assert (row["labelled_by"], row["labelled_clips"]) == ("people", 11)
    assert row["estimate_low"] < 1 / 3 < row["estimate_high"]
    assert "From labels by people on 11 of 12 clips of tonight" in page.read_text()

    shutil.rmtree(root / "nights" / night.night / "to-label")
    assert report(["--store", str(root), "--thresholds", "motion=0.9"]) in (0, 1)
    assert store.label_sample(store.nights()[0]).equals(sample), "the sample outlives other thresholds"
    assert motion_in_frames(store, night.night)["labelled_clips"] == 0
