"""Calibration and thresholds of all labels."""

import numpy as np
import pytest
from predicted import predictions
from sklearn.metrics import precision_score

from artifactscan.errors import UsageError
from artifactscan.evaluation.calibration import fit_calibration
from artifactscan.evaluation.label_metrics import has_both_classes
from artifactscan.evaluation.predictions import read_predictions
from artifactscan.evaluation.thresholds import Aim
from artifactscan.evaluation.tuning import Tuning, cross_tune, tune
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration

TABLE = predictions(sharpness=3)
READ = read_predictions(TABLE)


def test_thresholds_are_chosen_on_calibrated_probabilities() -> None:
    tuned = tune(TABLE, Aim(kind="precision", share=0.8))
    frames = tuned.apply(READ)
    assert has_both_classes(READ.y).all()
    for i, label in enumerate(LABELS):
        expected = fit_calibration(READ.logits[:, i], READ.y[:, i], READ.videos)
        assert tuned.calibration[label] == expected
        assert 0.2 < expected.scale < 0.9  # three times too sharp, and noise of the videos
        assert precision_score(READ.y[:, i], frames.flags[:, i]) >= 0.8
    assert tuned.aim == "precision=0.8"
    assert tuned.notes == ()
    assert tuned.tuned_on == set(READ.frames)


def test_by_default_nothing_is_calibrated_and_the_threshold_is_one_half() -> None:
    frames = Tuning().apply(READ)
    np.testing.assert_allclose(frames.p, 1 / (1 + np.exp(-READ.logits)), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(frames.flags, READ.logits >= 0)
    np.testing.assert_array_equal(frames.y, READ.y)


def test_each_label_has_its_own_threshold() -> None:
    tuning = Tuning(
        thresholds=dict(zip(LABELS, (0.5, 0.25, 0.9, 0.0), strict=True)),
        calibration={**dict.fromkeys(LABELS, Calibration()), "object": Calibration(scale=0, offset=1)},
    )
    frames = tuning.apply(READ)
    np.testing.assert_array_equal(frames.flags, frames.p >= np.array([0.5, 0.25, 0.9, 0], np.float32))
    assert frames.p[:, 3] == pytest.approx(1 / (1 + np.exp(-1)))


def test_each_fold_is_tuned_on_the_others() -> None:
    tunings = cross_tune(TABLE)
    assert sorted(tunings) == [0, 1, 2, 3]
    for fold, tuning in tunings.items():
        rest = TABLE.filter([of != fold for of in TABLE["fold"].to_pylist()])
        assert tuning == tune(rest)
        assert len(tuning.tuned_on) == 150


def test_cross_tuning_needs_two_folds() -> None:
    with pytest.raises(UsageError, match="the predictions have only fold 0, and tuning across folds needs 2 or more"):
        cross_tune(predictions(folds=1))


def test_a_label_of_one_class_keeps_the_defaults_and_is_noted() -> None:
    table = TABLE.to_pandas().assign(y_texture=0, y_object=1)
    tuned = tune(table)
    assert tuned.calibration["texture"] == tuned.calibration["object"] == Calibration()
    assert tuned.thresholds["texture"] == tuned.thresholds["object"] == 0.5
    left = "calibration is left as it is and the threshold at 0.5"
    assert tuned.notes == (
        f"texture has no positive among the 200 frames to tune on: {left}",
        f"object has no negative among the 200 frames to tune on: {left}",
    )


def test_an_aim_out_of_reach_is_noted() -> None:
    table = TABLE.to_pandas()
    table["logit_motion"] = 0.0
    tuned = tune(table, Aim(kind="precision", share=0.95))
    share = table["y_motion"].mean()
    (note,) = [note for note in tuned.notes if note.startswith("motion")]
    assert note.startswith("motion reaches no precision=0.95 on the frames to tune on: the threshold is ")
    assert note.endswith(f"that of the highest precision there, {share:.3f}")


def test_by_default_the_flagged_share_is_the_prevalence() -> None:
    tuned = tune(TABLE)
    assert tuned.aim == "prevalence"
    flags = tuned.apply(READ).flags
    for i, label in enumerate(LABELS):
        point = tuned.operating_point[label]
        assert point.flagged_share == pytest.approx(flags[:, i].mean())
        assert point.prevalence == pytest.approx(READ.y[:, i].mean())
        assert point.flagged_share == pytest.approx(point.prevalence, abs=0.006)  # a frame of 200
        assert point.precision == pytest.approx(precision_score(READ.y[:, i], flags[:, i]))
    assert Tuning().operating_point == {}


def test_a_label_whose_scores_are_all_the_same_is_noted() -> None:
    table = TABLE.to_pandas()
    table["logit_motion"] = 0.0
    tuned = tune(table)
    (note,) = tuned.notes
    assert note.startswith("motion has the same score on too many of the 200 frames to tune on: no threshold flags ")
    assert tuned.operating_point["motion"].flagged_share == 0
