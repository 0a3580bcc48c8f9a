"""Small labelled sets for tests of training: clips made at test time, and labels for some of their frames."""

import csv
from pathlib import Path

import numpy as np
from media import draw_frame, write_clip

from artifactscan.labels import LABELS

FRAMES = (1, 5, 6, 11)
"""Labelled frames of each clip, at 12 per second; the scoring job, at two per second, does not sample most of them."""
MARKS = ((250, 30, 30), (30, 250, 30), (30, 30, 250), (250, 250, 30))
"""Colour of the square that stands for each label in these clips."""


def labels_of(clip: int, frame: int) -> tuple[int, ...]:
    """Every label has positives and negatives in every clip."""
    return tuple((clip + FRAMES.index(frame) + place * (1 + frame % 2)) % 2 for place in range(len(LABELS)))


def write_labelled(folder: Path, *, clips: int = 6, seconds: float = 1.0) -> Path:
    """Writes clips/NAME.mp4 and labels.csv below ``folder`` and returns the table's path."""
    (folder / "clips").mkdir(parents=True)
    rows = []
    for clip in range(clips):
        name = f"clips/clip{clip}.mp4"
        write_clip(folder / name, fps=12, seconds=seconds, draw=lambda n, w, h, clip=clip: _draw(clip, n, w, h))
        rows += [(name, frame, *labels_of(clip, frame)) for frame in FRAMES]
    write_rows(folder / "labels.csv", rows)
    return folder / "labels.csv"


def write_rows(path: Path, rows: list[tuple]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "frame_index", *LABELS))
        writer.writerows(rows)
    return path


def _draw(clip: int, number: int, width: int, height: int) -> np.ndarray:
    picture = draw_frame(number + 20 * clip, width, height)
    if number in FRAMES:
        side = height // 3
        for place, shown in enumerate(labels_of(clip, number)):
            if shown:
                left = place * (width // len(LABELS))
                picture[-side:, left : left + side] = MARKS[place]
    return picture
