"""Names of images, and finding frames by the names that labelling tools return."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from labelled import ODD_FILES, make_index, write_index

from artifactscan.annotation.frame_index import INDEX, FrameLookup, image_name, read_index, suggested_labels
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SCORE_COLUMNS

SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*-[0-9a-f]{16}-[0-9]{6,}\.png")


@given(file=ODD_FILES)
def test_every_clip_gives_safe_names(file: str) -> None:
    assert SAFE.fullmatch(image_name(file, "id", 12, "png"))


def test_names_can_be_read_and_do_not_clash() -> None:
    assert image_name("day 1/a cat.mp4", "id", 12, "png").startswith("a-cat-")
    assert image_name("-rf.mp4", "id", 0, "jpg").startswith("rf-")
    assert image_name("動画.mp4", "id", 0, "jpg").startswith("clip-")
    assert len(image_name("x" * 300 + ".mp4", "id", 0, "png")) == 40 + 1 + 16 + 1 + 6 + 4
    alike = {image_name(*names, 0, "png") for names in (("a b.mp4", "id"), ("a#b.mp4", "id"), ("a b.mp4", "other"))}
    assert len(alike) == 3


def test_a_frame_is_found_by_the_name_that_a_tool_returns() -> None:
    index = make_index([("a b.mp4", 0), ("a b.mp4", 12)])
    lookup = FrameLookup(index, "export.json")
    image = index["image"].to_pylist()[1]
    name = image.removeprefix("frames/")
    for given_back in (
        image,
        name,
        name.removesuffix(".png"),
        f"/data/local-files/?d=some/folder/{name}",
        f"/data/upload/3/0a1b2c3d-{name}",
        f"s3://bucket/out/{image}",
        name.replace(".png", "_1.png"),
        f"train/{name.replace('.png', '_12.png')}",
        f"{name.removesuffix('.png')}_1",
        name.replace(".png", "-2.png"),
        name.replace(".png", " (1).png"),
        f"/data/upload/3/0a1b2c3d-{name.replace('.png', '_1.png')}",
    ):
        assert lookup.find(given_back) == ("a b.mp4", 12)
    with pytest.raises(UsageError) as raised:
        lookup.find("other\n.png")
    assert str(raised.value) == (
        "export.json names the image 'other\\n.png', which is not in the index; "
        "give the index of the extraction that its images come from"
    )


def test_frames_that_are_not_in_the_index() -> None:
    index = make_index([("a.mp4", 0), ("a.mp4", 12)])
    lookup = FrameLookup(index, "sheet.csv")
    lookup.check_frame("a.mp4", 12)
    with pytest.raises(UsageError, match=r"sheet.csv labels 'b.mp4', a file of which the index has no frame; give"):
        lookup.check_frame("b.mp4", 12)
    with pytest.raises(UsageError, match=r"frame 10 of 'a.mp4', which is not in the index; the nearest .* is 12$"):
        lookup.check_frame("a.mp4", 10)
    with pytest.raises(UsageError, match="the label 'blur', which is none of boundary, texture, motion, object; ren"):
        lookup.row(index["image"][0].as_py(), {"blur"})


def test_scores_suggest_the_labels_at_or_over_their_thresholds() -> None:
    row = dict(zip(SCORE_COLUMNS, [0.5, 0.49, 0.9, 0.1], strict=True))
    thresholds = dict.fromkeys(LABELS, 0.5) | {"motion": 0.95}
    assert suggested_labels(row, thresholds) == {"boundary": 0.5}
    assert suggested_labels(dict.fromkeys(SCORE_COLUMNS), thresholds) is None


def test_reading_an_index(tmp_path: Path) -> None:
    index = make_index([("a.mp4", 0)], [0.1, 0.2, 0.3, 0.4])
    assert read_index(write_index(tmp_path, index)).equals(index.cast(INDEX))
    with pytest.raises(UsageError, match=r"none.parquet is not there; give the index.parquet of `artifactscan ex"):
        read_index(str(tmp_path / "none.parquet"))
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(UsageError, match=r"text.parquet is damaged, or no Parquet file \(.*; restore it, or have"):
        read_index(str(tmp_path / "text.parquet"))
    write_index(tmp_path, pa.table({"a": [1]}))
    with pytest.raises(UsageError, match=r"index.parquet is another table, without a column image; give the in"):
        read_index(str(tmp_path / "index.parquet"))
