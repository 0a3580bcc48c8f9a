"""History as a table and as a picture."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artifactscan.storage.parquet import read_table
from artifactscan.training.epoch_history import HISTORY, history_table, write_history


def row(run: str, epoch: int, *, tuned: bool = True) -> dict:
    score = 0.1 * epoch if tuned else math.nan
    losses = {"fit_loss": 1 / epoch, "tune_loss": 1.2 / epoch if tuned else math.nan}
    speed = {"learning_rate": 1e-3, "frames_per_s": 12.0, "seconds": 3.0}
    return {"run": run, "epoch": epoch, **losses, "tune_average_precision": score, **speed, "best": epoch == 3}


@pytest.mark.parametrize("tuned", [True, False])
def test_table_and_curves(tmp_path: Path, tuned: bool) -> None:
    table = history_table([row(run, epoch, tuned=tuned) for run in ("videos-0", "final") for epoch in (1, 2, 3)])
    assert table.schema == HISTORY
    assert table["tune_loss"].null_count == (0 if tuned else 6)
    write_history(table, str(tmp_path), title="a backbone")
    assert read_table(str(tmp_path / "history.parquet")).equals(table)
    picture = np.asarray(Image.open(io.BytesIO((tmp_path / "losses.png").read_bytes())).convert("L"))
    assert picture.shape == (400, 1000)
    assert (picture < 128).mean() > 0.005
