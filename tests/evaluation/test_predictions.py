"""The predictions table."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from predicted import predictions

from artifactscan.errors import UsageError
from artifactscan.evaluation.predictions import calibrated_probabilities, logits_of, predictions_table, read_predictions
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration
from artifactscan.schemas import PREDICTIONS


def small() -> pd.DataFrame:
    table = predictions_table(
        files=["a.mp4", "a.mp4", "b.mp4"],
        frame_index=[0, 12, 0],
        y=np.array([[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 0]]),
        logits=np.arange(12).reshape(3, 4) / 4,
        fold=2,
    )
    assert table.schema.equals(PREDICTIONS)
    return table.to_pandas()


def test_a_table_is_read_as_it_was_made() -> None:
    read = read_predictions(small())
    assert read.frames == (("a.mp4", "a.mp4", 0), ("a.mp4", "a.mp4", 12), ("b.mp4", "b.mp4", 0))
    assert read.y.tolist() == [[True, False, False, True], [False, False, False, True], [True, True, True, False]]
    assert read.logits.tolist() == (np.arange(12).reshape(3, 4) / 4).tolist()
    assert read.folds.tolist() == [2, 2, 2]
    assert len(read.where(read.videos == "b.mp4")) == 1


def test_arrow_and_pandas_with_wider_types_and_more_columns_are_the_same() -> None:
    table = predictions(4, 3)
    wide = table.to_pandas().astype({"y_motion": "int64", "logit_motion": "float64", "fold": "int64"})
    wide["note"] = "x"
    first, second = read_predictions(table), read_predictions(wide[sorted(wide.columns)])
    assert first.frames == second.frames
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.y, second.y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="y_motion"), "the predictions have no column y_motion; they need file, frame_index"),
        (lambda t: t.head(0), "the predictions have no rows"),
        (lambda t: t.assign(y_motion=[0, 2, 0]), "the prediction of a.mp4 frame 12 has y_motion 2; give 0 or 1"),
        (lambda t: t.assign(y_motion=[0, 0.5, 0]), "the predictions' column y_motion is not int8"),
        (lambda t: t.assign(fold=["a", "b", "c"]), "the predictions' column fold is not int32"),
        (lambda t: t.assign(logit_object=[0, 1, math.inf]), "b.mp4 frame 0 has logit_object inf; give a finite number"),
        (lambda t: t.assign(logit_object=[0, math.nan, 1]), "empty cells|a.mp4 frame 12 has logit_object nan"),
        (lambda t: t.assign(video=["a", None, "b"]), "the predictions have 1 empty cells in column video"),
        (lambda t: t.assign(frame_index=[0, 0, 0]), "the predictions have a.mp4 frame 0 twice in fold 2; keep one"),
    ],
)
def test_a_table_that_cannot_be_used(change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_predictions(change(small()))


def test_an_arrow_logit_that_is_not_a_number() -> None:
    table = predictions(4, 3)
    nan = pa.array([math.nan] * table.num_rows, pa.float32())
    table = table.set_column(table.schema.get_field_index("logit_texture"), PREDICTIONS.field("logit_texture"), nan)
    with pytest.raises(UsageError, match=r"clips/v000.mp4 frame 0 has logit_texture nan; give a finite number"):
        read_predictions(table)


def test_the_same_frame_may_be_tested_by_several_models() -> None:
    twice = pd.concat([small(), small().assign(fold=3)])
    assert len(read_predictions(twice)) == 6


def test_logits_give_back_the_probabilities_they_were_made_of() -> None:
    p = np.array([[0.0, 1e-6, 0.3, 0.5], [0.999, 1.0, 0.0, 1.0]])
    uncalibrated = dict.fromkeys(LABELS, Calibration())
    logits = logits_of(p, uncalibrated)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(calibrated_probabilities(logits, uncalibrated), p, atol=2e-7)
    calibration = {
        label: Calibration(scale=scale, offset=1) for label, scale in zip(LABELS, (1, 20, 0, 0.2), strict=True)
    }
    p = calibrated_probabilities(np.array([[0.5, -0.3, 0.5, 20], [-2, 0.1, 4, -20]]), calibration)
    np.testing.assert_allclose(calibrated_probabilities(logits_of(p, calibration), calibration), p, atol=1e-6)


def test_probabilities_are_calibrated_per_label() -> None:
    calibration = {
        label: Calibration(scale=scale, offset=1) for label, scale in zip(LABELS, (1, 2, 0, -1), strict=True)
    }
    p = calibrated_probabilities(np.array([[0.5, 0.5, 0.5, 0.5], [-1e5, 1e5, 0, 0]]), calibration)
    assert p.dtype == np.float32
    expected = [
        [1 / (1 + math.exp(-x)) for x in (1.5, 2, 1, 0.5)],
        [0, 1, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-1))],
    ]
    np.testing.assert_allclose(p, expected, rtol=1e-6)
