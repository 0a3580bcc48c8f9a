"""The predictions table: what was true of each labelled frame and what a model that had not seen it said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration
from artifactscan.schemas import PREDICTIONS

Y_COLUMNS: tuple[str, ...] = tuple(f"y_{label}" for label in LABELS)
LOGIT_COLUMNS: tuple[str, ...] = tuple(f"logit_{label}" for label in LABELS)

_LEAST_PROBABILITY = 1e-7
"""About where float32 stops telling 1 - p from 1."""


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

    ``videos`` groups what must not be split; by default each file is a video of its own.
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
    read = Predictions(
        frames=tuple(zip(videos, files, indices, strict=True)),
        videos=np.asarray(videos, dtype=object),
        y=_matrix(table, Y_COLUMNS),
        logits=_matrix(table, LOGIT_COLUMNS).astype(np.float64),
        folds=table["fold"].to_numpy(),
    )
    _check(read)
    return Predictions(frames=read.frames, videos=read.videos, y=read.y == 1, logits=read.logits, folds=read.folds)


def logits_of(probabilities: np.ndarray, calibration: Mapping[str, Calibration] | None = None) -> np.ndarray:
    """float64 logits of probabilities, for models that give no logits; 0 and 1 become about -16 and 16.

    With a ``calibration``, of (frames, labels): the logits that ``probabilities`` makes these of.
    """
    p = np.clip(np.asarray(probabilities, np.float64), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logits = np.log(p) - np.log1p(-p)
    if calibration is None:
        return logits
    scale = np.array([calibration[label].scale or 1.0 for label in LABELS])  # at 0 all logits give one probability
    return (logits - np.array([calibration[label].offset for label in LABELS])) / scale


def probabilities(logits: np.ndarray, calibration: Mapping[str, Calibration]) -> np.ndarray:
    """float32 (frames, labels) calibrated probabilities, as the scoring job makes them of (frames, labels) logits."""
    scale = np.array([calibration[label].scale for label in LABELS])
    offset = np.array([calibration[label].offset for label in LABELS])
    return sigmoid(logits * scale + offset).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function without overflow, in the dtype of ``x``."""
    return np.exp(-np.logaddexp(0, -x))


def _cast(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    column = table[field.name]
    if column.null_count:
        raise UsageError(f"the predictions have {column.null_count} empty cells in column {field.name}; fill them")
    try:
        # A float32 logit from a float64 column is meant; cut-off labels or folds are not.
        return column.cast(field.type, safe=not pa.types.is_floating(field.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the predictions' column {field.name} is not {field.type}: {reason}") from None


def _matrix(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    return np.stack([table[name].to_numpy() for name in columns], axis=1)


def _check(read: Predictions) -> None:
    """``read.y`` still has the numbers of the table."""
    for wrong, values, columns, wanted in (
        ((read.y != 0) & (read.y != 1), read.y, Y_COLUMNS, "0 or 1"),
        (~np.isfinite(read.logits), read.logits, LOGIT_COLUMNS, "a finite number"),
    ):
        if len(places := np.argwhere(wrong)):
            row, column = places[0]
            _, file, index = read.frames[row]
            raise UsageError(
                f"the prediction of {file} frame {index} has {columns[column]} {values[row, column]}; give {wanted}"
            )
    keys = pd.MultiIndex.from_arrays([*zip(*read.frames, strict=True), read.folds])
    if (twice := np.flatnonzero(keys.duplicated())).size:
        _, file, index = read.frames[twice[0]]
        raise UsageError(
            f"the predictions have {file} frame {index} twice in fold {read.folds[twice[0]]}; keep one of them"
        )
