"""The labels job: import into one table, agreement of annotators, and refusals in one sentence."""

import json
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from labelled import graded_row, label_row, labels_table, make_index, write_index

from artifactscan.annotation.labels_table import read_labels, write_labels
from artifactscan.annotation.settings import AgreeSettings, ImportSettings
from artifactscan.jobs.labels import main
from artifactscan.labels import LABELS, SEVERITY_COLUMNS


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A Label Studio export: frame 0 labelled by two people, frame 12 by nobody."""
    index = make_index([("a b.mp4", 0), ("a b.mp4", 12)])
    write_index(tmp_path, index)
    choices = [["motion", "object"], ["motion"]]
    annotations = [
        {"completed_by": by, "result": [{"from_name": "artifacts", "type": "choices", "value": {"choices": one}}]}
        for by, one in enumerate(choices, 1)
    ]
    images = index["image"].to_pylist()
    exported = [{"data": {"frame": images[0]}, "annotations": annotations}, {"data": {"frame": images[1]}}]
    (tmp_path / "export.json").write_text(json.dumps(exported))
    return tmp_path / "export.json"


def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


def test_the_flags_are_frozen() -> None:
    names = [[field.name for field in fields(settings)] for settings in (ImportSettings, AgreeSettings)]
    assert names == [
        ["tool", "file", "index", "output", "annotator", "on_conflict", "untagged"],
        ["files", "output", "resamples"],
    ]


def test_importing_keeps_each_annotator_or_merges_them(tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tasks.parent
    flags = ("import", "--from", "label-studio", "--file", tasks, "--index", folder / "index.parquet")
    assert run(*flags, "--output", folder / "kept.csv") == 0
    said = capsys.readouterr().out
    assert "2 labelled frames" in said
    assert "left out, as nobody labelled them yet: 1" in said
    assert read_labels(str(folder / "kept.csv"), rule="keep").to_pylist() == [
        label_row("a b.mp4", 0, "0011", "1"),
        label_row("a b.mp4", 0, "0010", "2"),
    ]
    assert run(*flags, "--output", folder / "merged.parquet", "--on-conflict", "any") == 0
    assert read_labels(str(folder / "merged.parquet")).to_pylist() == [label_row("a b.mp4", 0, "0011", "1; 2")]


def test_an_imported_sheet_of_grades_says_how_many_frames_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_index(tmp_path, make_index([("a.mp4", 0), ("a.mp4", 12), ("a.mp4", 24)]))
    sheet = tmp_path / "sheet.csv"
    header = f"file,frame_index,{','.join(LABELS)},{','.join(SEVERITY_COLUMNS)}"
    sheet.write_text(f"{header}\na.mp4,0,,,,,0,1,2,3\na.mp4,12,0,1,0,0,,,,\na.mp4,24,,,,,,,,\n")
    flags = ("import", "--from", "csv", "--file", sheet, "--index", tmp_path / "index.parquet", "--annotator", "anna")
    assert run(*flags, "--output", tmp_path / "out.csv") == 0
    said = capsys.readouterr().out
    assert "2 labelled frames" in said
    assert "graded from 0 to 3: 1" in said
    assert read_labels(str(tmp_path / "out.csv")).to_pylist() == [
        graded_row("a.mp4", 0, "0123", "anna"),
        label_row("a.mp4", 12, "0100", "anna"),
    ]


def test_agreement_is_printed_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"anna": ["1000", "1000", "0000"], "ben": ["1000", "0000", "0000"]}
    for name, labels in rows.items():
        table = labels_table(*(label_row("a.mp4", n, one) for n, one in enumerate(labels)))
        write_labels(table, str(tmp_path / f"{name}.csv"))
    figures = tmp_path / "figures.parquet"
    assert run("agree", tmp_path / "anna.csv", tmp_path / "ben.csv", "--output", figures) == 0
    said = capsys.readouterr().out
    assert "anna and ben: 3 frames that both labelled" in said
    lines = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in map(split, said.splitlines())}
    assert lines["boundary"] == ["2 / 1", "0.667", "0.40", "0.67"]
    assert lines["object"] == ["0 / 0", "1.000", "–", "–"]
    assert pd.read_parquet(figures)["label"].tolist() == list(LABELS)


def test_agreement_of_graded_tables_has_the_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grades = {"anna": ["0123", "3210", "0011", "2000"], "ben": ["0033", "2110", "0001", "1000"]}
    for name, rows in grades.items():
        table = labels_table(*(graded_row(f"{n // 2}.mp4", n % 2, one, name) for n, one in enumerate(rows)))
        write_labels(table, str(tmp_path / f"{name}.csv"))
    files = tmp_path / "anna.csv", tmp_path / "ben.csv"
    figures = tmp_path / "figures.parquet"
    assert run("agree", *files, "--resamples", 20, "--output", figures) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "anna and ben: 4 frames that both labelled" in said
    assert "4 frames that both graded; one's grade against the other's label, both ways: the ceiling" in said
    assert "together" not in said
    assert pd.read_parquet(figures)["label"].tolist() == [*LABELS, "macro"]
    third = labels_table(*(graded_row(f"{n // 2}.mp4", n % 2, one, "cleo") for n, one in enumerate(grades["ben"])))
    write_labels(third, str(tmp_path / "cleo.csv"))
    assert run("agree", *files, tmp_path / "cleo.csv", "--resamples", 0) == 0
    assert "3 annotators together: 4 graded frames of 2 clips" in " ".join(capsys.readouterr().out.split())


def split(line: str) -> list[str]:
    cells = line.split("│")
    return cells if len(cells) > 3 else [""] * 4


def test_one_file_of_several_annotators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = labels_table(label_row("a.mp4", 0, "1000", "anna"), label_row("a.mp4", 0, "0000", "ben"))
    write_labels(both, str(tmp_path / "both.csv"))
    assert run("agree", tmp_path / "both.csv") == 0
    assert "anna and ben: 1 frames that both labelled" in capsys.readouterr().out
    assert run("agree", tmp_path / "both.csv", tmp_path / "both.csv") == 2
    assert "has labels of anna, as a file before it; give each annotator once" in capsys.readouterr().err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(*arguments) == 2
    [said] = capsys.readouterr().err.strip().splitlines()
    return said.removeprefix("error: ")


def test_refusals(tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tasks.parent
    said = refusal(capsys, "merge")
    assert said == "command merge is unknown; known are import, agree, clean, push"
    assert "agreement needs two annotators" in refusal(capsys, "agree")
    flags = ("import", "--from", "label-studio", "--index", folder / "index.parquet", "--file")
    output = folder / "out.csv"
    tasks.write_text(tasks.read_text().replace("motion", "blur"))
    assert "the label 'blur', which is none of" in refusal(capsys, *flags, tasks, "--output", output)
    assert "none.json is not there" in refusal(capsys, *flags, folder / "none.json", "--output", output)
    assert not output.exists()
