"""The demo's clips with planted defects, each beside the same clip without."""

import csv
from pathlib import Path

from artifactscan.labels import LABELS
from artifactscan.synthesis.corpus import SynthesisSettings, write_corpus

PAIRS, SECONDS, HEIGHT, WIDTH, SEED = 12, 2.0, 192, 336, 7
"""Drawn in about half a minute on two cores."""


def write_planted_clips(folder: Path) -> dict[str, dict[str, bool]]:
    """Draws PAIRS clips twice, clean and defective, below ``folder``; returns file name → label → whether planted.

    Clips that are there from an earlier call are kept.
    """
    table = folder / "labels.csv"
    if not table.exists():
        asked = SynthesisSettings(
            output=str(folder), count=PAIRS, pairs=True, seed=SEED, height=HEIGHT, width=WIDTH, seconds=SECONDS
        )
        for _ in write_corpus(asked):
            pass
    planted: dict[str, dict[str, bool]] = {}
    with table.open(newline="") as rows:
        for row in csv.DictReader(rows):
            labels = planted.setdefault(Path(row["file"]).name, dict.fromkeys(LABELS, False))
            for label in LABELS:
                labels[label] |= row[label] == "1"
    return planted
