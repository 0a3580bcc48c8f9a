"""Labels exported to each tool and imported again are the same, whatever the names of the clips."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from labelled import ODD_CHARACTERS, ODD_FILES, graded_row, label_row, labels_table, make_index, write_index

from artifactscan.annotation.labelling_tools import TOOLS, export_frames, import_labels
from artifactscan.annotation.labels_table import LABELLED, read_labels, write_labels
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS

THRESHOLDS = dict.fromkeys(LABELS, 0.5)
RESULT = {"csv": "labels.csv", "cvat": "annotations.xml", "label-studio": "tasks.json", "fiftyone": "labels.json"}
"""Per tool the file that is read back, written as the tool itself writes it."""
FRAMES = [("a b.mp4", 0), ("a b.mp4", 12), ("day/%2F#.mp4", 3)]

NOTES = st.text(ODD_CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(bool)


def export(folder: Path, tool: str, *labelled: dict, scores: list[float] | None = None) -> Path:
    """Exports FRAMES and returns the folder of the files."""
    index = make_index(FRAMES, scores)
    write_index(folder, index)
    labels = labels_table(*labelled)
    files = export_frames(tool, index, str(folder), labels=labels, thresholds=THRESHOLDS, model_version="net-1")  # type: ignore[arg-type]
    assert {Path(file).parent for file in files} == {folder / "export" / tool}
    return folder / "export" / tool


@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=20)
@given(
    frames=st.dictionaries(
        st.tuples(ODD_FILES, st.integers(0, 10_000)),
        st.tuples(st.from_regex("[01]{4}", fullmatch=True), st.tuples(*[st.floats(0, 3)] * 4), NOTES | st.none()),
        min_size=1,
        max_size=5,
    ),
    graded=st.booleans(),
)
def test_labels_and_grades_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, tool: str, frames: dict, graded: bool
) -> None:
    # FiftyOne has no place for the grades of a file in which all are 0.
    assume(tool != "fiftyone" or not graded or any(any(grades) for _, grades, _ in frames.values()))
    folder = tmp_path_factory.mktemp("export")
    index = make_index(sorted(frames))
    rows = [
        graded_row(file, frame, grades, "anna", note) if graded else label_row(file, frame, shown, "anna", note)
        for (file, frame), (shown, grades, note) in sorted(frames.items())
    ]
    labels = labels_table(*rows)
    export_frames(tool, index, str(folder), labels=labels, thresholds=THRESHOLDS, model_version="")  # type: ignore[arg-type]
    source = str(folder / "export" / tool / RESULT[tool])
    table, unlabelled = import_labels(tool, source, write_index(folder, index), annotator="anna")  # type: ignore[arg-type]
    expected = labels.to_pylist()
    if tool == "fiftyone":  # it has no place for a note
        expected = [row | {"note": None} for row in expected]
    assert (table.to_pylist(), unlabelled) == (expected, 0)


@pytest.mark.parametrize("tool", TOOLS)
def test_frames_without_grades_stay_so_beside_graded_ones(tmp_path: Path, tool: str) -> None:
    rows = [graded_row("a b.mp4", 0, "0120"), label_row("a b.mp4", 12, "0001"), graded_row("day/%2F#.mp4", 3, "0000")]
    folder = export(tmp_path, tool, *rows)
    table, _ = import_labels(tool, str(folder / RESULT[tool]), str(tmp_path / "index.parquet"))  # type: ignore[arg-type]
    assert table.to_pylist() == rows


@pytest.mark.parametrize("tool", TOOLS)
def test_frames_that_nobody_labelled_are_counted(tmp_path: Path, tool: str) -> None:
    folder = export(tmp_path, tool, label_row("a b.mp4", 12, "0000"))
    source, index = str(folder / RESULT[tool]), str(tmp_path / "index.parquet")
    table, unlabelled = import_labels(tool, source, index, untagged="skip")  # type: ignore[arg-type]
    assert (table.to_pylist(), unlabelled) == ([label_row("a b.mp4", 12, "0000")], 2)


@pytest.mark.parametrize("tool", TOOLS)
def test_scores_never_come_back_as_labels(tmp_path: Path, tool: str) -> None:
    folder = export(tmp_path, tool, scores=[0.9, 0.1, 0.2, 0.6])
    source, index = str(folder / RESULT[tool]), str(tmp_path / "index.parquet")
    with pytest.raises(UsageError, match="holds no labelled frame; label some, then export again"):
        import_labels(tool, source, index, untagged="skip")  # type: ignore[arg-type]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_that_is_not_there(tmp_path: Path, tool: str) -> None:
    export(tmp_path, tool)
    missing = str(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"none\.csv (is not|cannot be read: there is no)"):
        import_labels(tool, missing, str(tmp_path / "index.parquet"))  # type: ignore[arg-type]


def test_the_csv_has_scores_and_empty_cells_to_fill_in(tmp_path: Path) -> None:
    folder = export(tmp_path, "csv", label_row("a b.mp4", 12, "0110", note="x"), scores=[0.9, 0.1, 0.2, 0.6])
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["texture"] for row in rows] == ["", "1", ""]
    assert [row["note"] for row in rows] == ["", "x", ""]
    assert float(rows[0]["p_boundary"]) == pytest.approx(0.9)
    assert rows[0]["image"].startswith("frames/a-b-")


def test_what_uploaders_and_annotators_write_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    file, name, note = "=cmd|' /C calc'!A0.mp4", '=HYPERLINK("https://evil.example")', "@SUM(1)\n-2"
    index = make_index([(file, 0)])
    export_frames(
        "csv",
        index,
        str(tmp_path),
        labels=labels_table(label_row(file, 0, "1000", name, note)),
        thresholds=THRESHOLDS,
        model_version="",
    )
    sheet = tmp_path / "export/csv/labels.csv"
    table, _ = import_labels("csv", str(sheet), write_index(tmp_path, index))
    assert table.to_pylist() == [label_row(file, 0, "1000", name, note)]
    write_labels(table, str(tmp_path / "labels.csv"))
    write_labels(table, str(tmp_path / "labels.parquet"))
    for path in (sheet, tmp_path / "labels.csv"):
        with path.open(newline="") as lines:
            [row] = csv.DictReader(lines)
        assert (row["file"], row["annotator"], row["note"]) == (f"'{file}", f"'{name}", f"'{note}")
    assert read_labels(str(tmp_path / "labels.csv")).equals(read_labels(str(tmp_path / "labels.parquet")))
    assert pq.read_table(tmp_path / "labels.parquet")["annotator"].to_pylist() == [name]


def test_rows_are_named_as_the_file_has_them(tmp_path: Path) -> None:
    frames = [("z.mp4", number) for number in range(12)] + [("a.mp4", 5)]
    index = write_index(tmp_path, make_index(frames))
    rows = [label_row(file, frame, "0000", "anna") for file, frame in frames]
    rows += [label_row("z.mp4", 0, "0010", "ben")]
    source = tmp_path / "labels.csv"
    write_labels(labels_table(*rows), str(source))
    with pytest.raises(UsageError, match=r"rows 1 and 14 label frame 0 of 'z\.mp4' differently") as raised:
        import_labels("csv", str(source), index, rule="error")
    assert "--annotator" not in str(raised.value)
    with pytest.raises(UsageError, match=r"rows 1 and 14 .*, both by 'me'; keep the one that holds; ") as raised:
        import_labels("csv", str(source), index, annotator="me")
    assert str(raised.value).endswith(
        "--annotator me has replaced the names in the file (anna, ben): without it they are kept"
    )
    table, _ = import_labels("csv", str(source), index, rule="any")
    assert table.schema == LABELLED and table.num_rows == 13


def test_cvat_gets_images_tags_and_label_definitions(tmp_path: Path) -> None:
    folder = export(tmp_path, "cvat", label_row("a b.mp4", 12, "0110"), label_row("a b.mp4", 0, "0000"))
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    assert [root.findtext(path) for path in ("version", "meta/task/mode", "meta/task/size")] == [
        "1.1",
        "annotation",
        "3",
    ]
    images = root.findall("image")
    assert [[tag.get("label") for tag in image] for image in images] == [["clean"], ["texture", "motion"], []]
    assert [image.get("id") for image in images] == ["0", "1", "2"]
    assert {(image.get("width"), image.get("height")) for image in images} == {("160", "96")}
    assert "/" not in images[2].get("name", "/")
    definitions = json.loads((folder / "labels.json").read_text())
    assert [label["name"] for label in definitions] == [*LABELS, "clean"]
    grades = [label["attributes"][1]["values"] for label in definitions]
    assert grades == [["-", "1", "2", "3"]] * 4 + [["-", "0"]]
    assert {label["type"] for label in definitions} == {"tag"}


def test_label_studio_gets_predictions_with_their_score(tmp_path: Path) -> None:
    folder = export(tmp_path, "label-studio", label_row("a b.mp4", 12, "0110"), scores=[0.9, 0.1, 0.2, 0.6])
    tasks = json.loads((folder / "tasks.json").read_text())
    [prediction] = tasks[0]["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("net-1", pytest.approx(0.6))
    [result] = prediction["result"]
    assert result["value"] == {"choices": ["boundary", "object"]}
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d={tasks[0]['data']['frame']}"
    assert (tasks[2]["data"]["file"], tasks[2]["data"]["frame_index"]) == ("day/%2F#.mp4", 3)
    assert [len(task.get("annotations", [])) for task in tasks] == [0, 1, 0]
    view = ElementTree.parse(folder / "config.xml").getroot()
    ratings = [(rating.get("name"), rating.get("maxRating")) for rating in view.findall("Rating")]
    assert ratings == [(column, "3") for column in SEVERITY_COLUMNS]
    choices, image = view.find("Choices"), view.find("Image")
    assert choices is not None and image is not None
    assert [choice.get("value") for choice in choices] == list(LABELS)
    assert (choices.get("name"), choices.get("toName")) == (result["from_name"], result["to_name"])
    assert (image.get("name"), image.get("value")) == (result["to_name"], "$image")


def test_label_studio_finds_frames_on_s3_by_uri() -> None:
    from artifactscan.annotation.label_studio import write_label_studio

    index = make_index(FRAMES)
    files = write_label_studio(index, root="s3://bucket/out", labels={}, thresholds=THRESHOLDS, model_version="")
    [first, *_] = json.loads(files["tasks.json"])
    assert first["data"]["image"] == f"s3://bucket/out/{index['image'][0]}"
    assert "predictions" not in first


def test_fiftyone_gets_a_dataset_whose_images_are_found(tmp_path: Path) -> None:
    folder = export(tmp_path, "fiftyone", label_row("a b.mp4", 12, "0110"), scores=[0.9, 0.1, 0.2, 0.6])
    labels, predictions, paths = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("labels", "predictions", "data")
    )
    assert labels["classes"] == predictions["classes"] == list(LABELS)
    assert list(labels["labels"].values()) == [None, [1, 2], None]
    confident = [{"label": 0, "confidence": pytest.approx(0.9)}, {"label": 3, "confidence": pytest.approx(0.6)}]
    assert list(predictions["labels"].values()) == [confident] * 3
    assert labels["labels"].keys() == paths.keys()
    found = {(folder / path).resolve() for path in paths.values()}
    assert found == {tmp_path / image for image in make_index(FRAMES)["image"].to_pylist()}
