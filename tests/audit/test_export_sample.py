"""The sample as files for people: images, index, sheet, and the way back."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, video
from media import write_clip
from PIL import Image

from artifactscan import storage
from artifactscan.annotation.frame_index import read_index
from artifactscan.annotation.labels_table import read_labels
from artifactscan.audit.export_sample import export_sample
from artifactscan.audit.label_folder import PEOPLE, LabelFolder, labels_by_source
from artifactscan.audit.label_sample import draw_clips, draw_frames
from artifactscan.audit.settings import AuditSettings
from artifactscan.corpus.listed_object import video_id
from artifactscan.jobs.labels import main as labels
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import FRAMES

NIGHT = "20260101T030000Z-aaaaaaaa"
SECONDS = 12.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    (root / "sora").mkdir()
    for name in ("a", "b"):
        write_clip(root / "sora" / f"{name}.mp4", seconds=SECONDS)
    return root


def drawn(corpus: Path) -> tuple[pa.Table, pa.Table]:
    """LABEL_SAMPLE and FRAMES of both clips, sampled twice a second at 24 frames a second."""
    ids = {}
    for name in ("a", "b"):
        uri = str(corpus / "sora" / f"{name}.mp4")
        ids[uri] = video_id(uri, storage.stat(uri).etag)
    arrivals = arrived(
        *[
            {**video(frames=24), "video_id": one, "uri": uri, "path": f"sora/{Path(uri).name}"}
            for uri, one in ids.items()
        ]
    )
    frames = pa.Table.from_pylist(
        [
            dict.fromkeys(SCORE_COLUMNS, 0.987) | {"video_id": one, "uri": uri, "frame_index": 12 * n, "pts_s": n / 2}
            for uri, one in ids.items()
            for n in range(24)
        ],
        FRAMES,
    )
    return draw_frames(draw_clips(arrivals, 1.0, NIGHT), frames, NIGHT), frames


def settings(corpus: Path, folder: Path) -> AuditSettings:
    return AuditSettings(corpus=str(corpus), store=str(folder / "store"), judge_share=1.0)


def test_people_get_images_a_sheet_without_scores_and_an_index_that_brings_labels_back(
    corpus: Path, tmp_path: Path
) -> None:
    sample, frames = drawn(corpus)
    folder = LabelFolder(str(tmp_path / "to-label"))
    assert export_sample(sample, frames, folder, settings(corpus, tmp_path)) == []

    index = read_index(folder.index)
    assert 2 * 12 < index.num_rows <= 3 * 12, "the frames before and after are images, too"
    assert all(Image.open(Path(folder.root, image)).size == (160, 96) for image in index["image"].to_pylist()[:3])
    with Path(folder.sheet).open() as file:
        rows = list(csv.DictReader(file))
    keys = [(row["file"], int(row["frame_index"])) for row in rows]
    assert keys == list(zip(sample["path"].to_pylist(), sample["frame_index"].to_pylist(), strict=True))
    assert all(Path(folder.root, row["image"]).exists() for row in rows)
    assert "0.987" not in Path(folder.sheet).read_text()
    assert all(not row[label] for row in rows for label in LABELS)
    for tool, name in {"cvat": "annotations.xml", "label-studio": "tasks.json", "fiftyone": "labels.json"}.items():
        text = Path(folder.root, "export", tool, name).read_text()
        assert "0.987" not in text

    for row in rows:
        row |= dict.fromkeys(LABELS, "0") | {"motion": str(int(row["file"] == "sora/a.mp4"))}
    with Path(folder.sheet).open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found, notes = labels_by_source(sample, folder, human_labels=None)
    assert notes == []
    assert np.array(found[PEOPLE]["motion"]).sum() == 6
    assert found[PEOPLE].num_rows == 12

    other = Path(folder.imported, "anna.csv")
    source = ("--from", "csv", "--file", folder.sheet, "--index", folder.index)
    assert labels(["import", *source, "--output", str(other), "--annotator", "anna"]) == 0
    assert read_labels(str(other)).num_rows == 12


def test_clips_that_are_gone_or_other_files_by_now_are_named(corpus: Path, tmp_path: Path) -> None:
    sample, frames = drawn(corpus)
    clips = sample.to_pylist()
    ids = {row["video_id"]: f"other-{row['video_id']}" for row in clips if row["path"] == "sora/a.mp4"}

    def renamed(table: pa.Table) -> pa.Table:
        rows = [{**row, "video_id": ids.get(row["video_id"], row["video_id"])} for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, table.schema)

    folder = LabelFolder(str(tmp_path / "to-label"))
    [note] = export_sample(renamed(sample), renamed(frames), folder, settings(corpus, tmp_path))
    assert note == (
        "no images of sora/a.mp4, which was drawn for labelling: it was replaced or removed after it was scored"
    )
    assert set(read_index(folder.index)["file"].to_pylist()) == {"sora/b.mp4"}
