"""What a worker reads of the frame table, without Ray."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artifactscan.decode.input_spec import InputSpec
from artifactscan.labels import LABELS
from artifactscan.pipelines.train import worker
from artifactscan.training.frame_table import TARGET_COLUMNS
from artifactscan.training.recipe import Targets, TrainSettings

SPEC = InputSpec(height=2, width=3)
Y = np.array([[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0]], np.int8)
TARGETS = np.array([[0, 1 / 3, 2 / 3, 1], [0.5, 0, 1 / 6, 0], [0, 0.5, 0, 0]], np.float32)


def frames(*, with_targets: bool = True) -> pa.Table:
    columns: dict[str, Any] = {"row": pa.array([0, 1, 2], pa.int32())}
    columns["pixels"] = pa.array([bytes([row]) * 18 for row in range(3)], pa.large_binary())
    columns |= {f"y_{label}": Y[:, n] for n, label in enumerate(LABELS)}
    if with_targets:
        columns |= {column: TARGETS[:, n] for n, column in enumerate(TARGET_COLUMNS)}
    return pa.table(columns)


def load(
    monkeypatch: pytest.MonkeyPatch, table: pa.Table, rows: list[int], targets: Targets = "severity"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, labels and targets of ``rows`` from a shard that gives the table row by row."""

    def iter_batches(**_: Any) -> Iterator[pa.Table]:
        yield from (table.slice(row, 1) for row in range(table.num_rows))

    monkeypatch.setattr(worker.ray.train, "get_dataset_shard", lambda name: SimpleNamespace(iter_batches=iter_batches))
    loader: Any = object.__new__(worker.Worker)
    loader.spec, loader.settings = SPEC, TrainSettings(targets=targets)
    return loader._load_frames("fit-0", np.array(rows))


def test_the_loss_sees_targets_in_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [2, 0, 1, 0]  # one worker may train on a frame twice
    pixels, y, targets = load(monkeypatch, frames(), rows)
    assert pixels[:, 0, 0, 0].tolist() == rows
    assert (y == Y[rows]).all()
    assert (targets == TARGETS[rows]).all()
    assert targets.dtype == np.float32


def test_the_loss_sees_the_labels_where_these_are_asked_for_or_nothing_else_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for table, targets in ((frames(), "labels"), (frames(with_targets=False), "severity")):
        _, y, seen = load(monkeypatch, table, [0, 1, 2], targets)  # type: ignore[arg-type]
        assert (y == Y).all()
        assert (seen == Y).all()


def test_no_rows_are_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(part) for part in load(monkeypatch, frames(), [])] == [0, 0, 0]
