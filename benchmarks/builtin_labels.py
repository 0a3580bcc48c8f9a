"""Writes the labels tables that `builtin` is trained on: grades of two annotators, with what made each clip.

    python benchmarks/builtin_labels.py DATA OUTPUT

DATA holds the folders gen85, sora15 and sora35 (clips/, manifest.csv and the grades of two annotators) and mixed/camera
(footage without defects). OUTPUT gets one table for each; `make builtin` trains on them.
"""

import csv
import sys
from pathlib import Path

import pyarrow as pa

from artifactscan.annotation.clean_clips import label_clean_clips
from artifactscan.annotation.labels_table import LABELLED, write_labels
from artifactscan.annotation.merge_rows import labels_of_severities
from artifactscan.annotation.settings import CleanSettings
from artifactscan.labels import LABELS, SEVERITY_COLUMNS
from artifactscan.messages.console import console

GRADES = {"gen85": "labels", "sora15": "severity", "sora35": "severity"}
"""Folder → what the names of its grades begin with."""


def rows_of(folder: Path, name: str) -> list[dict[str, object]]:
    """LABELLED rows of both annotators."""
    with (folder / "manifest.csv").open() as file:
        makers = {row["file"]: row["generator"].split(" (")[0] for row in csv.DictReader(file)}
    rows = []
    for annotator in ("first", "second"):
        with (folder / f"{name}_{annotator}.csv").open() as file:
            for row in csv.DictReader(file):
                grades = tuple(float(row[column]) for column in SEVERITY_COLUMNS)
                rows.append(
                    {
                        **{"file": row["file"], "frame_index": int(row["frame_index"]), "annotator": annotator},
                        **dict(zip(SEVERITY_COLUMNS, grades, strict=True)),
                        **dict(zip(LABELS, labels_of_severities(grades), strict=True)),
                        **{"note": row["note"], "generator": makers[row["file"]]},
                    }
                )
    return rows


def main(data: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for folder, name in GRADES.items():
        write_labels(pa.Table.from_pylist(rows_of(data / folder, name), LABELLED), str(output / f"{folder}.csv"))
    camera = CleanSettings(input=str(data / "mixed" / "camera"), output=str(output / "camera.csv"))
    label_clean_clips(camera, console())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
