"""The predictions table: the labels of each frame, and the logits of a model that was not trained on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import expit, logit

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration
from artifactscan.schemas import PREDICTIONS

Y_COLUMNS: tuple[str, ...] = tuple(f"y_{label}" for label in LABELS)
LOGIT_COLUMNS: tuple[str, ...] = tuple(f"logit_{label}" for label in LABELS)

_MIN_PROBABILITY = 1e-7
"""About where float32 cannot tell 1 - p from 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """A checked predictions table as arrays, one entry per row."""

    frames: tuple[tuple[str, str, int], ...]
    """Video, file and frame_index."""
    videos: np.ndarray
    """object (rows,): names."""
    y: np.ndarray
    """bool (rows, labels)."""
    logits: np.ndarray
    """float64 (rows, labels)."""
    folds: np.ndarray
    """int32 (rows,)."""

    def __len__(self) -> int:
        return len(self.videos)

    def where(self, keep: np.ndarray) -> "Predictions":
        """The rows for which ``keep``, bool (rows,), is true."""
        return Predictions(
            frames=tuple(frame for frame, kept in zip(self.frames, keep, strict=True) if kept),
            videos=self.videos[keep],
            y=self.y[keep],
            logits=self.logits[keep],
            folds=self.folds[keep],
        )


def predictions_table(
    *,
    files: Sequence[str],
    frame_index: Sequence[int] | np.ndarray,
    y: np.ndarray,
    logits: np.ndarray,
    fold: int,
    videos: Sequence[str] | None = None,
) -> pa.Table:
    """One model's predictions in the PREDICTIONS schema; ``y`` and ``logits`` are (frames, labels).

    ``videos`` names the group that must not be split; by default each file is a video of its own.
    """
    columns: list[object] = [list(files), list(frame_index), list(files if videos is None else videos)]
    columns += [*np.asarray(y).astype(np.int8).T, *np.asarray(logits).astype(np.float32).T]
    columns.append(np.full(len(files), fold, np.int32))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, PREDICTIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PREDICTIONS)


def read_predictions(table: pa.Table | pd.DataFrame) -> Predictions:
    """Checks a table that has at least the columns of PREDICTIONS.

    UsageError, naming the column or the frame, for a missing column, values of another type, an empty table, a label
    other than 0 and 1, a logit that is not finite, and a frame that one fold has twice.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    if missing := [name for name in PREDICTIONS.names if name not in table.column_names]:
        raise UsageError(f"the predictions have no column {missing[0]}; they need {', '.join(PREDICTIONS.names)}")
    if not table.num_rows:
        raise UsageError("the predictions have no rows; predict at least one labelled frame")
    table = pa.Table.from_arrays([_cast(table, field) for field in PREDICTIONS], schema=PREDICTIONS)
    files, indices, videos = (table[name].to_pylist() for name in ("file", "frame_index", "video"))
    y, logits = (
        np.stack([table[name].to_numpy() for name in columns], axis=1) for columns in (Y_COLUMNS, LOGIT_COLUMNS)
    )
    _check_cells(table, y, Y_COLUMNS, (y == 0) | (y == 1), "0 or 1")
    _check_cells(table, logits, LOGIT_COLUMNS, np.isfinite(logits), "a finite number")
    keys = table.select(["video", "file", "frame_index", "fold"]).to_pandas()
    if len(twice := keys[keys.duplicated()]):
        first = twice.iloc[0]
        raise UsageError(
            f"the predictions have {first['file']} frame {first['frame_index']} twice in fold {first['fold']}; "
            "keep one of them"
        )
    return Predictions(
        frames=tuple(zip(videos, files, indices, strict=True)),
        videos=np.asarray(videos, dtype=object),
        y=y == 1,
        logits=logits.astype(np.float64),
        folds=table["fold"].to_numpy(),
    )


def logits_of(probabilities: np.ndarray, calibration: Mapping[str, Calibration]) -> np.ndarray:
    """float64 (frames, labels) logits: the inverse of ``calibrated_probabilities``.

    Probabilities of 0 and 1 are taken as 1e-7 and 1 - 1e-7. Where a scale is 0 all logits give the same probability,
    and the scale is taken as 1.
    """
    p = np.clip(np.asarray(probabilities, np.float64), _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    scale = np.array([calibration[label].scale or 1.0 for label in LABELS])
    return (logit(p) - np.array([calibration[label].offset for label in LABELS])) / scale


def calibrated_probabilities(logits: np.ndarray, calibration: Mapping[str, Calibration]) -> np.ndarray:
    """float32 (frames, labels) probabilities of (frames, labels) logits, computed as in the scoring job."""
    scale = np.array([calibration[label].scale for label in LABELS])
    offset = np.array([calibration[label].offset for label in LABELS])
    return expit(logits * scale + offset).astype(np.float32)


def _cast(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    column = table[field.name]
    if column.null_count:
        raise UsageError(f"the predictions have {column.null_count} empty cells in column {field.name}; fill them")
    try:
        # float64 logits may lose digits; labels and folds may not.
        return column.cast(field.type, safe=not pa.types.is_floating(field.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the predictions' column {field.name} is not {field.type}: {reason}") from None


def _check_cells(table: pa.Table, values: np.ndarray, columns: Sequence[str], valid: np.ndarray, wanted: str) -> None:
    """UsageError for the first cell of ``values``, (rows, columns), that is not ``valid``."""
    if len(invalid := np.argwhere(~valid)):
        row, column = invalid[0]
        file, index = table["file"][row].as_py(), table["frame_index"][row].as_py()
        raise UsageError(
            f"the prediction of {file} frame {index} has {columns[column]} {values[row, column]}; give {wanted}"
        )
