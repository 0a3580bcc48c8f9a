"""Whole evaluations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from predicted import predictions

from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.evaluation.label_metrics import LABEL_METRICS, compute_metrics
from artifactscan.evaluation.metric_table import Evaluation, MetricEstimate, evaluate
from artifactscan.evaluation.predictions import predictions_table, read_predictions
from artifactscan.evaluation.tuning import Tuning, cross_tune, tune
from artifactscan.labels import LABELS
from artifactscan.schemas import METRICS

FEW = BootstrapSettings(resamples=100)
TABLE = predictions(sharpness=2)


def of_folds(*folds: int) -> pd.DataFrame:
    table = TABLE.to_pandas()
    return table[table["fold"].isin(folds)]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(TABLE, cross_tune(TABLE), bootstrap=FEW)


def test_the_table_has_every_figure_once_for_all_folds_and_for_each(evaluation: Evaluation) -> None:
    assert evaluation.metrics.schema.equals(METRICS)
    table = evaluation.metrics.to_pandas()
    assert set(table["protocol"]) == {"videos"}
    assert not table.duplicated(["fold", "label", "metric"]).any()
    assert table.groupby("fold").size().to_dict() == dict.fromkeys(["0", "1", "2", "3", "all"], 5 * 9 + 1)
    of_all = table[table["fold"] == "all"]
    assert of_all["reason"].isna().all()
    assert (of_all["low"] <= of_all["value"]).all()
    assert (of_all["value"] <= of_all["high"]).all()
    assert table.loc[table["fold"] != "all", "low"].isna().all()


def test_pooled_metrics_use_each_folds_own_tuning(evaluation: Evaluation) -> None:
    read, tunings = read_predictions(TABLE), cross_tune(TABLE)
    flags = np.concatenate([tunings[fold].apply(read.where(read.folds == fold)).flags for fold in range(4)])
    y = np.concatenate([read.y[read.folds == fold] for fold in range(4)])
    for i, label in enumerate(LABELS):
        assert evaluation.estimate("accuracy", label).value == pytest.approx((flags[:, i] == y[:, i]).mean())
    macro = np.mean([(flags[:, i] == y[:, i]).mean() for i in range(4)])
    assert evaluation.estimate("accuracy").value == pytest.approx(macro)
    assert evaluation.estimate("exact_match", "overall").value == pytest.approx((flags == y).all(axis=1).mean())


def test_a_folds_metrics_are_those_of_its_frames_alone(evaluation: Evaluation) -> None:
    alone = evaluate(of_folds(2), cross_tune(TABLE), bootstrap=FEW)
    assert alone.folds == 1
    assert set(alone.metrics["fold"].to_pylist()) == {"all"}
    for metric in LABEL_METRICS:
        assert evaluation.estimate(metric, "object", "2").value == alone.estimate(metric, "object").value


def test_the_majority_stands_beside_each_figure(evaluation: Evaluation) -> None:
    shares = TABLE.to_pandas()[[f"y_{label}" for label in LABELS]].mean().to_numpy()
    assert evaluation.estimate("accuracy").majority == pytest.approx(np.maximum(shares, 1 - shares).mean())
    assert evaluation.estimate("average_precision").majority == pytest.approx(shares.mean())
    assert evaluation.estimate("auroc", "motion").majority == 0.5


def test_counts_of_frames_videos_and_folds(evaluation: Evaluation) -> None:
    assert (evaluation.frames, evaluation.videos, evaluation.folds) == (200, 20, 4)
    positives = TABLE.to_pandas()[[f"y_{label}" for label in LABELS]].sum()
    assert evaluation.positives == {label: positives[f"y_{label}"] for label in LABELS}
    assert evaluation.notes == ()


def test_the_same_call_gives_the_same_table(evaluation: Evaluation) -> None:
    again = evaluate(TABLE, cross_tune(TABLE), bootstrap=FEW)
    assert again.metrics.equals(evaluation.metrics)
    other = evaluate(TABLE, cross_tune(TABLE), bootstrap=replace(FEW, seed=1))
    assert other.estimate("f1").value == evaluation.estimate("f1").value
    assert other.estimate("f1").low != evaluation.estimate("f1").low


def test_a_label_of_one_class_is_null_with_a_reason_and_out_of_every_macro() -> None:
    table = TABLE.to_pandas().assign(y_texture=0)
    found = evaluate(table, bootstrap=FEW)
    rows = found.metrics.to_pandas().query("fold == 'all'")
    texture = rows[rows["label"] == "texture"]
    assert texture[["value", "low", "high", "majority"]].isna().all(axis=None)
    assert set(texture["reason"]) == {"texture is undefined: none of the 200 frames shows it"}
    assert set(rows.loc[rows["label"] == "macro", "reason"]) == {"without texture, of one class only"}
    others = [found.estimate("f1", label).value for label in LABELS if label != "texture"]
    assert found.estimate("f1").value == pytest.approx(np.mean(others))
    assert found.estimate("f1").low is not None
    assert found.notes == (
        "texture is undefined: none of the 200 frames shows it, and texture is left out of every macro",
    )


def test_frames_of_one_class_throughout_leave_only_the_exact_match() -> None:
    table = TABLE.to_pandas().assign(**{f"y_{label}": 1 for label in LABELS})
    found = evaluate(table, bootstrap=FEW)
    assert found.estimate("accuracy") == MetricEstimate(value=None, low=None, high=None, majority=None)
    assert found.estimate("exact_match", "overall").majority == 1


def test_one_video_has_no_intervals() -> None:
    table = TABLE.to_pandas().query("video == 'v004'")
    found = evaluate(table, bootstrap=FEW)
    assert found.estimate("exact_match", "overall").low is None
    assert "no intervals: they need 2 videos or more, and there is 1" in found.notes


def test_a_metric_that_most_resamples_do_not_define_has_no_interval() -> None:
    """Half of all resamples of two videos have both; chance decides whether fewer than half of a hundred do."""
    table = TABLE.to_pandas().query("video in ('v000', 'v001')")
    table["y_motion"] = (table["video"] == "v001").astype(int)
    missing = []
    for seed in range(6):
        found = evaluate(table, bootstrap=replace(FEW, seed=seed))
        missing.append(found.estimate("auroc", "motion").low is None)
        note = "auroc of motion has no interval: fewer than half of the resamples define it"
        assert (note in found.notes) == missing[-1]
        assert found.estimate("auroc", "motion").value is not None
    assert set(missing) == {True, False}


def test_without_resamples_there_are_no_intervals() -> None:
    found = evaluate(TABLE, bootstrap=BootstrapSettings(resamples=0))
    frames = Tuning().apply(read_predictions(TABLE))
    for i, metric in enumerate(LABEL_METRICS):
        assert found.estimate(metric, "boundary").value == compute_metrics(frames).by_label[i, 0]
        assert found.estimate(metric, "boundary").low is None
    assert found.notes == ()


def test_what_a_tuning_lacked_is_noted_with_its_fold() -> None:
    table = TABLE.to_pandas()
    table.loc[table["fold"] != 1, "y_motion"] = 0
    found = evaluate(table, cross_tune(table), bootstrap=FEW)
    assert any(note.startswith("fold 1: motion has no positive among the 150 frames") for note in found.notes)


def test_a_frame_that_was_tuned_on_is_not_tested() -> None:
    with pytest.raises(UsageError, match=r"fold 0 tests clips/v000.mp4 frame 0, on which its calibration and thresh"):
        evaluate(of_folds(0), tune(of_folds(0)), bootstrap=FEW)


def test_a_video_that_was_tuned_on_is_not_tested_but_under_frames() -> None:
    table = of_folds(0)
    early, late = table[table["frame_index"] < 5], table[table["frame_index"] >= 5]
    with pytest.raises(UsageError, match="fold 0 tests video v000, on which its calibration and thresholds were"):
        evaluate(late, tune(early), bootstrap=FEW)
    assert evaluate(late, tune(early), protocol="frames", bootstrap=FEW).protocol == "frames"


def test_a_video_in_the_test_of_two_folds() -> None:
    table = of_folds(0, 1)
    table.loc[table["frame_index"] == 3, "fold"] = 1
    with pytest.raises(UsageError, match="video v000 is in the test of two folds; give it to one of them"):
        evaluate(table, bootstrap=FEW)
    assert evaluate(table, protocol="frames", bootstrap=FEW).folds == 2


def test_a_fold_without_a_tuning_and_an_unknown_protocol_are_refused() -> None:
    with pytest.raises(UsageError, match="fold 3 has predictions but no tuning"):
        evaluate(TABLE, {fold: Tuning() for fold in range(3)})
    with pytest.raises(UsageError, match="protocol 'clips' is not known; give videos or frames"):
        evaluate(TABLE, protocol="clips")  # type: ignore[arg-type]


def test_an_unknown_metric_raises_key_error(evaluation: Evaluation) -> None:
    with pytest.raises(KeyError):
        evaluation.estimate("f2")


def test_perfect_and_reversed_predictions() -> None:
    y = np.array([[1, 0, 1, 0], [0, 1, 0, 1]] * 10)
    for sign, expected in ((1, 1.0), (-1, 0.0)):
        table = predictions_table(
            files=[f"v{i // 4}" for i in range(20)],
            frame_index=np.arange(20),
            y=y,
            logits=sign * 9.0 * (2 * y - 1),
            fold=0,
        )
        found = evaluate(table, bootstrap=FEW)
        for metric in ("accuracy", "balanced_accuracy", "f1", "auroc"):
            assert found.estimate(metric) == MetricEstimate(
                value=expected, low=expected, high=expected, majority=0.5 if metric != "f1" else 0
            )
        assert found.estimate("calibration_error").value == pytest.approx(1 - expected, abs=1e-3)


def test_the_operating_point_is_of_decisions_that_the_other_folds_made(evaluation: Evaluation) -> None:
    for label in LABELS:
        point = evaluation.operating_point[label]
        assert point.aim == "prevalence"
        assert point.precision == pytest.approx(evaluation.estimate("precision", label).value)
        assert point.recall == pytest.approx(evaluation.estimate("recall", label).value)
        assert point.prevalence == pytest.approx(evaluation.positives[label] / evaluation.frames)


def test_figures_by_maker_are_those_of_its_frames_alone() -> None:
    read = read_predictions(TABLE)
    makers = {file: ("camera", "sora")[n % 2] for n, file in enumerate(sorted({file for _, file, _ in read.frames}))}
    left_out = sorted(makers)[0]
    del makers[left_out]
    evaluation = evaluate(TABLE, bootstrap=FEW, makers=makers)
    assert list(evaluation.by_maker) == ["camera", "sora"]
    assert sum(one.frames for one in evaluation.by_maker.values()) == len(
        [f for _, f, _ in read.frames if f != left_out]
    )
    of_sora = TABLE.to_pandas().query(
        "file in @files", local_dict={"files": [f for f, m in makers.items() if m == "sora"]}
    )
    alone = evaluate(of_sora, bootstrap=FEW)
    sora = evaluation.by_maker["sora"]
    assert (sora.frames, sora.videos) == (alone.frames, alone.videos)
    for label in (*LABELS, "macro"):
        for metric, value in sora.figures[label].items():
            assert value == alone.estimate(metric, label).value
    for label in LABELS:
        assert sora.flagged_share[label] == pytest.approx(alone.operating_point[label].flagged_share)
        assert sora.prevalence[label] == pytest.approx(alone.operating_point[label].prevalence)
    assert evaluate(TABLE, bootstrap=FEW).by_maker == {}


def test_a_maker_without_defects_has_flags_and_no_ranking() -> None:
    table = TABLE.to_pandas()
    camera = table["fold"] == 0
    table.loc[camera, [f"y_{label}" for label in LABELS]] = 0
    makers = {file: "camera" if of else "sora" for file, of in zip(table["file"], camera, strict=True)}
    one = evaluate(table, bootstrap=FEW, makers=makers).by_maker["camera"]
    assert one.prevalence == dict.fromkeys(LABELS, 0)
    assert {value for figures in one.figures.values() for value in figures.values()} == {None}
    assert max(one.flagged_share.values()) > 0
