"""An extraction's folder as `artifactscan extract` leaves it: images of one colour each, and the index."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from artifactscan.annotation.frame_index import INDEX
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.storage.parquet import write_table

STEP_S = 0.5
FRAMES_PER_STEP = 12


def write_extraction(
    folder: Path,
    clips: Mapping[str, int],
    *,
    size: tuple[int, int] = (64, 48),
    scores: Mapping[tuple[str, int], tuple[float, ...]] | None = None,
) -> Path:
    """Writes so many frames of each clip, two a second out of 24, and returns the path of the index.

    ``size``: width and height; ``scores``: of (file, number of the frame), one for each label.
    """
    (folder / "frames").mkdir(parents=True)
    rows = []
    for clip, (file, frames) in enumerate(clips.items()):
        for number in range(frames):
            image = f"frames/{clip}-{number}.png"
            colour = (10 * number, 40 * clip, 100)
            Image.fromarray(np.full((size[1], size[0], 3), colour, np.uint8)).save(folder / image)
            row = {"image": image, "video_id": f"{clip:032x}", "uri": f"/clips/{file}", "file": file}
            row |= {"frame_index": FRAMES_PER_STEP * number, "pts_s": STEP_S * number}
            row |= {"width": size[0], "height": size[1]}
            if scores is not None:
                row |= dict(zip(SCORE_COLUMNS, scores[file, number], strict=True))
            rows.append(row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in INDEX.names} for row in rows], INDEX)
    write_table(table, str(folder / "index.parquet"))
    return folder / "index.parquet"
