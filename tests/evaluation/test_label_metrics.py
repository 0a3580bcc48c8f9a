"""Metrics compared with values worked out by hand, with scikit-learn and with torchmetrics."""

import numpy as np
import pytest
import torch
from predicted import predictions
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from artifactscan.evaluation.label_metrics import (
    LABEL_METRICS,
    MetricValues,
    ScoredFrames,
    compute_metrics,
    has_both_classes,
    majority_baseline,
)
from artifactscan.evaluation.predictions import read_predictions
from artifactscan.evaluation.tuning import Tuning
from artifactscan.labels import LABELS


def frames(**values: float) -> ScoredFrames:
    return Tuning(thresholds=dict.fromkeys(LABELS, 0.4)).apply(read_predictions(predictions(12, 10, **values)))


def by_hand() -> ScoredFrames:
    """Four frames; texture is never there, motion always, object is right throughout."""
    y = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1]], bool)
    p = np.array([[0.9, 0.1, 0.9, 0.2], [0.4, 0.6, 0.9, 0.8], [0.6, 0.1, 0.1, 0.2], [0.1, 0.1, 0.9, 0.8]], np.float32)
    return ScoredFrames(y=y, p=p, flags=p >= 0.5)


def test_metrics_worked_out_by_hand() -> None:
    found = compute_metrics(by_hand())
    boundary = dict(zip(LABEL_METRICS, found.by_label[:, 0], strict=True))
    assert boundary == pytest.approx(
        {
            "accuracy": 2 / 4,
            "balanced_accuracy": (1 / 2 + 1 / 2) / 2,
            "precision": 1 / 2,
            "recall": 1 / 2,
            "f1": 1 / 2,
            "average_precision": (1 + 2 / 3) / 2,  # ranked: yes, no, yes, no
            "average_precision_ratio": (1 + 2 / 3) / 2 * 2,  # half of the frames show it
            "auroc": 3 / 4,
            "calibration_error": (0.1 + 0.6 + 0.6 + 0.1) / 4,  # each frame in a bin of its own
        }
    )
    assert found.by_label[:, 3] == pytest.approx([1, 1, 1, 1, 1, 1, 2, 1, 0.2])
    assert found.exact_match == 2 / 4


def test_a_label_of_one_class_is_undefined_in_every_metric() -> None:
    found = compute_metrics(by_hand())
    assert np.isnan(found.by_label[:, 1:3]).all()
    assert np.isfinite(found.by_label[:, [0, 3]]).all()
    defined = has_both_classes(by_hand().y)
    assert defined.tolist() == [True, False, False, True]
    assert found.macro(defined)[LABEL_METRICS.index("accuracy")] == pytest.approx(0.75)
    assert np.isnan(found.macro(np.zeros(4, bool))).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_equal_those_of_scikit_learn(seed: int) -> None:
    some = frames(seed=seed)
    found = dict(zip(LABEL_METRICS, compute_metrics(some).by_label, strict=True))
    for i in range(len(LABELS)):
        y, p, flags = some.y[:, i], some.p[:, i], some.flags[:, i]
        for metric, expected in {
            "accuracy": sk.accuracy_score(y, flags),
            "balanced_accuracy": sk.balanced_accuracy_score(y, flags),
            "precision": sk.precision_score(y, flags),
            "recall": sk.recall_score(y, flags),
            "f1": sk.f1_score(y, flags),
            "average_precision": sk.average_precision_score(y, p),
            "auroc": sk.roc_auc_score(y, p),
        }.items():
            assert found[metric][i] == pytest.approx(expected, abs=1e-6), metric
    assert compute_metrics(some).exact_match == pytest.approx(sk.accuracy_score(some.y, some.flags))


def test_macro_metrics_equal_those_of_torchmetrics() -> None:
    some = frames()
    y, p, flags = torch.tensor(some.y).int(), torch.tensor(some.p), torch.tensor(some.flags).int()
    macro = dict(zip(LABEL_METRICS, compute_metrics(some).macro(has_both_classes(some.y)), strict=True))
    for metric, expected in {
        "accuracy": tm.multilabel_accuracy(flags, y, len(LABELS)),
        "f1": tm.multilabel_f1_score(flags, y, len(LABELS)),
        "average_precision": tm.multilabel_average_precision(p, y, len(LABELS)),
        "auroc": tm.multilabel_auroc(p, y, len(LABELS)),
    }.items():
        assert macro[metric] == pytest.approx(float(expected), abs=1e-6), metric


def test_a_label_that_is_never_predicted_has_precision_and_f1_of_0() -> None:
    some = frames()
    found = compute_metrics(ScoredFrames(y=some.y, p=some.p, flags=np.zeros_like(some.flags)))
    assert found.by_label[LABEL_METRICS.index("precision")].tolist() == [0] * 4
    assert found.by_label[LABEL_METRICS.index("f1")].tolist() == [0] * 4


def test_the_majority_answers_the_more_frequent_of_yes_and_no() -> None:
    y = np.zeros((10, 4), bool)
    y[:3, 0], y[:8, 1], y[:5, 2], y[:1, 3] = True, True, True, True
    chance = dict(zip(LABEL_METRICS, compute_metrics(majority_baseline(y)).by_label, strict=True))
    assert chance["accuracy"] == pytest.approx([0.7, 0.8, 0.5, 0.9])
    assert chance["balanced_accuracy"] == pytest.approx([0.5] * 4)
    assert chance["precision"] == pytest.approx([0, 0.8, 0, 0])
    assert chance["recall"] == pytest.approx([0, 1, 0, 0])
    assert chance["f1"] == pytest.approx([0, 1.6 / 1.8, 0, 0])
    assert chance["average_precision"] == pytest.approx([0.3, 0.8, 0.5, 0.1])
    assert chance["average_precision_ratio"] == pytest.approx([1] * 4)
    assert chance["auroc"] == pytest.approx([0.5] * 4)
    assert chance["calibration_error"] == pytest.approx([0.3, 0.2, 0.5, 0.1])
    assert compute_metrics(majority_baseline(y)).exact_match == pytest.approx(
        0.3
    )  # frames 5 to 7 are (no, yes, no, no)


def test_macro_is_undefined_where_one_of_its_labels_is() -> None:
    by_label = np.array([[[0.2, 0.4, np.nan, 0.6]] * len(LABEL_METRICS)])[0][np.newaxis]
    found = MetricValues(by_label=by_label, exact_match=np.array([1.0]))
    assert found.macro(np.array([True, True, False, True])) == pytest.approx(np.full((1, len(LABEL_METRICS)), 0.4))
    assert np.isnan(found.macro(np.ones(4, bool))).all()
