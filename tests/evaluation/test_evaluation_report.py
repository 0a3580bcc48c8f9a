"""An evaluation for a person, as Markdown, Parquet and JSON."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from predicted import predictions
from rich.console import Console

from artifactscan.errors import CutOffError
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.evaluation.comparison import Candidate, comparison
from artifactscan.evaluation.evaluation_report import as_record, markdown, print_evaluation, write_evaluation
from artifactscan.evaluation.metric_table import Evaluation, MetricEstimate, evaluate
from artifactscan.evaluation.predictions import read_predictions
from artifactscan.evaluation.text_table import TextTable
from artifactscan.evaluation.tuning import cross_tune
from artifactscan.labels import LABELS

TABLE = predictions()
FEW = BootstrapSettings(resamples=50)
LEAK = "random over frames; neighbouring frames leak from training into the test"


@pytest.fixture(scope="module")
def videos() -> Evaluation:
    return evaluate(TABLE, cross_tune(TABLE), bootstrap=FEW)


@pytest.fixture(scope="module")
def frames() -> Evaluation:
    return evaluate(TABLE.to_pandas().query("fold == 0").assign(y_texture=0), protocol="frames", bootstrap=FEW)


def shown(evaluation: Evaluation, width: int = 110) -> str:
    out = io.StringIO()
    print_evaluation(evaluation, Console(file=out, width=width))
    return out.getvalue()


def cells(text: str) -> list[list[str]]:
    """The rows of all tables in ``text``, without their headings."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]


def row(text: str, name: str, *, nth: int = 0) -> list[list[str]]:
    """The lines of a row: itself and those below."""
    rows = cells(text)
    start = [i for i, line in enumerate(rows) if line[0] == name][nth]
    return rows[start : start + 4]


def test_value_interval_and_majority_stand_below_each_other(videos: Evaluation) -> None:
    value, interval, majority, _ = row(shown(videos), "average precision")
    assert (interval[0], majority[0]) == ("95 % interval", "majority")
    for i, label in enumerate((*LABELS, "macro"), start=1):
        estimate = videos.estimate("average_precision", label)
        assert value[i] == f"{estimate.value:.3f}"
        assert interval[i] == f"{estimate.low:.3f}–{estimate.high:.3f}"
        assert majority[i] == f"{estimate.majority:.3f}"


def test_the_average_precision_stands_beside_its_ratio_to_the_prevalence(videos: Evaluation) -> None:
    value, _, majority, _ = row(shown(videos), "average precision ratio")
    share = videos.positives["motion"] / videos.frames
    precision = videos.estimate("average_precision", "motion").value or 0
    assert (value[3], majority[3]) == (f"{precision / share:.3f}", "1.000")


def test_the_exact_match_is_of_no_label(videos: Evaluation) -> None:
    value = row(shown(videos), "exact match")[0]
    assert value[1:] == ["", "", "", "", f"{videos.estimate('exact_match', 'overall').value:.3f}"]


def test_every_table_names_its_protocol(videos: Evaluation, frames: Evaluation) -> None:
    for evaluation, protocol, tables in (
        (videos, "protocol videos (no video on both sides of a split)", 3),
        (frames, f"protocol frames ({LEAK})", 2),
    ):
        assert shown(evaluation, 140).count(protocol) == shown(evaluation, 140).count("┏━") == tables
        assert markdown(evaluation).count(protocol) == markdown(evaluation).count("|---|") == tables


def test_a_table_of_clips_trained_on_does_not_promise_unseen_ones(videos: Evaluation) -> None:
    for seen, words in ((videos.videos, f"all of these {videos.videos}"), (3, f"3 of these {videos.videos}")):
        evaluation = replace(videos, trained_on=seen)
        said = f"protocol videos (the checkpoint was trained on {words} clips)"
        assert markdown(evaluation).count(said) == markdown(evaluation).count("|---|") == 3
        assert "no video on both sides" not in shown(evaluation, 160) + json.dumps(as_record(evaluation))


def test_the_papers_figure_stands_beside_the_macro_accuracy_of_frames_only(
    videos: Evaluation, frames: Evaluation
) -> None:
    paper = row(shown(frames), "accuracy")[3]
    assert paper == ["the paper's ResNet-50, its own frames", "", "", "", "", "94.14 %"]
    assert shown(frames).count("94.14") == markdown(frames).count("94.14") == 1
    assert "94.14" not in shown(videos) + markdown(videos)


def test_what_is_undefined_is_a_dash_and_said(frames: Evaluation) -> None:
    value, interval, majority, _ = row(shown(frames), "f1")
    assert value[2] == interval[2] == majority[2] == "–"
    assert "note: texture is undefined: none of the 50 frames shows it, and texture is left out" in shown(frames)
    assert "- texture is undefined: none of the 50 frames shows it" in markdown(frames)


def test_folds_and_thresholds_have_tables(videos: Evaluation) -> None:
    text = shown(videos)
    assert [line[0] for line in cells(text) if line[0] in "0123" or line[0] == "all"] == ["0", "1", "2", "3", "all"]
    assert row(text, "all")[0][5] == f"{videos.estimate('f1').value:.3f}"
    thresholds = [f"{videos.tuning[fold].thresholds['motion']:.3f}" for fold in range(4)]
    assert row(text, "motion")[0][1] == " ".join(thresholds)
    assert row(text, "motion")[0][4:] == [
        f"{videos.operating_point['motion'].flagged_share:.1%}",
        f"{videos.positives['motion'] / videos.frames:.1%}",
    ]
    assert "Thresholds (prevalence) and calibration" in text


def test_what_always_yes_scores_is_said(videos: Evaluation) -> None:
    shares = [count / 200 for count in videos.positives.values()]
    expected = sum(2 * share / (1 + share) for share in shares) / 4
    assert f"Always answering yes has macro F1 {expected:.3f}." in " ".join(shown(videos).split())


def test_markdown_has_the_same_figures(videos: Evaluation) -> None:
    estimate = videos.estimate("f1")
    cell = f"{estimate.value:.3f}<br>{estimate.low:.3f}–{estimate.high:.3f}<br>{estimate.majority:.3f}"
    (line,) = [line for line in markdown(videos).splitlines() if line.startswith("| f1<br>95 % interval<br>majority |")]
    assert line.endswith(f"| {cell} |")


def test_the_record_is_json_and_says_how_the_figures_were_obtained(frames: Evaluation, videos: Evaluation) -> None:
    record = json.loads(json.dumps(as_record(frames), allow_nan=False))
    assert (record["protocol"], record["protocol_means"]) == ("frames", LEAK)
    assert (record["frames"], record["videos"], record["folds"]) == (50, 5, 1)
    assert record["intervals"] == {"resamples": 50, "confidence": 0.95, "seed": 0, "over": "videos"}
    estimate = frames.estimate("f1")
    assert record["figures"]["macro"]["f1"] == {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "majority": estimate.majority,
    }
    assert record["figures"]["texture"]["f1"]["value"] is None
    assert record["figures"]["overall"]["exact_match"]["value"] is not None
    assert as_record(videos)["tuning"]["2"]["thresholds"] == videos.tuning[2].thresholds


def test_it_is_written_as_parquet_markdown_and_json(videos: Evaluation, tmp_path: Path) -> None:
    write_evaluation(videos, str(tmp_path / "new"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "evaluation.json",
        "metrics.parquet",
        "report.md",
    ]
    assert pq.read_table(tmp_path / "new" / "metrics.parquet").equals(videos.metrics)
    assert (tmp_path / "new" / "report.md").read_text() == markdown(videos)
    assert json.loads((tmp_path / "new" / "evaluation.json").read_text()) == as_record(videos)


def test_a_folder_that_cannot_be_written(videos: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CutOffError, match=r"evaluation .*/file/below cannot be written: Not a directory; make room"):
        write_evaluation(videos, str(tmp_path / "file" / "below"))


def test_backbones_are_compared_under_both_protocols_beside_the_paper(videos: Evaluation, frames: Evaluation) -> None:
    sheet = comparison(
        [
            Candidate(
                name="resnet50",
                evaluations={"videos": videos, "frames": frames},
                parameters=23_516_228,
                gflops=4.13,
                frames_per_s=14.26,
                device="cpu",
            ),
            Candidate(
                name="vit_base_patch16_224",
                evaluations={"videos": videos},
                parameters=85_801_732,
                gflops=16.9,
                frames_per_s=5,
                device="cuda",
            ),
        ]
    )
    first, second, paper = sheet.rows
    assert first[1] == ("23.5 M parameters", "4.1 GFLOPs", "14.3 frames/s (cpu)")
    assert first[2][0] == f"{frames.estimate('accuracy').value:.3f}"
    assert first[4][0] == f"{videos.estimate('average_precision').value:.3f}"
    assert second[2] == "–"
    assert paper[2] == "94.14 %"
    assert set(paper[3:]) == {"–"}
    out = io.StringIO()
    sheet.print(Console(file=out, width=110))
    assert "…" not in out.getvalue()
    assert "protocol videos" in out.getvalue()
    assert "94.14 %" in sheet.markdown()


def test_names_in_a_table_are_only_text() -> None:
    sheet = TextTable(title="a_b", headings=("x", "y"), rows=(("[red]a|b\x1b[0m", ("1", "<b>")),))
    assert "| \\[red\\]a\\|b\\x1b\\[0m | 1<br>\\<b\\> |" in sheet.markdown()
    out = io.StringIO()
    sheet.print(Console(file=out, width=60))
    assert "[red]a|b\\x1b[0m" in out.getvalue()


def test_makers_and_the_annotators_ceiling_have_their_place(videos: Evaluation) -> None:
    files = sorted({file for _, file, _ in read_predictions(TABLE).frames})
    makers = {file: ("camera", "sora")[n % 2] for n, file in enumerate(files)}
    ceiling = {
        ("auroc", label): MetricEstimate(value=0.9, low=0.8, high=0.95, majority=None) for label in (*LABELS, "macro")
    }
    whole = replace(evaluate(TABLE, cross_tune(TABLE), bootstrap=FEW, makers=makers), ceiling=ceiling)
    text = shown(whole)
    sora = whole.by_maker["sora"]
    first, size, shares, _ = row(text, "sora")
    assert first[3] == f"{sora.figures['motion']['auroc']:.3f}"
    assert (size[0], shares[0]) == (f"{sora.frames} frames, {sora.videos} clips", "flagged / with it")
    assert shares[3] == f"{sora.flagged_share['motion']:.1%} / {sora.prevalence['motion']:.1%}"
    assert row(text, "auroc")[3] == ["annotators", *["0.900"] * 5]
    assert "the ceiling." in text
    assert "annotators" not in shown(videos)
    record = as_record(whole)
    assert record["by_maker"]["sora"]["figures"]["motion"]["auroc"] == sora.figures["motion"]["auroc"]
    assert record["ceiling"]["macro"]["auroc"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert (as_record(videos)["by_maker"], as_record(videos)["ceiling"]) == ({}, {})
