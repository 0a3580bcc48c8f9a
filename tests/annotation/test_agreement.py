"""Agreement of annotators, against figures worked out by hand, scikit-learn's and those of the real labels."""

import numpy as np
import pyarrow as pa
import pytest
from labelled import graded_row, label_row, labels_table
from paths import SHARED
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from artifactscan.annotation.agreement import AGREEMENT, ceiling_of, compare_annotators
from artifactscan.annotation.labels_table import read_labels, split_by_annotator
from artifactscan.errors import UsageError
from artifactscan.evaluation.annotator_ceiling import CEILING_METRICS
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.labels import LABELS

DATA = SHARED / "data"
RESAMPLED = BootstrapSettings(resamples=100)
GRADED_COLUMNS = ["weighted_kappa", *(metric + end for metric in CEILING_METRICS for end in ("", "_low", "_high"))]
GRADES = {"anna": ["0123", "3210", "0011", "2000"], "ben": ["0033", "2110", "0001", "1000"]}


def test_the_figures_of_a_pair_over_their_common_frames() -> None:
    first = labels_table(*(label_row("a.mp4", n, labels) for n, labels in enumerate(["1000", "1000", "0000", "0010"])))
    second = labels_table(*(label_row("a.mp4", n, labels) for n, labels in enumerate(["1000", "0000", "0000"])))
    table = compare_annotators({"anna": first, "ben": second})
    assert table.schema.equals(AGREEMENT)
    boundary, texture, motion, _ = table.to_pylist()
    # 2 of 3 alike; by chance (2/3)(1/3) + (1/3)(2/3) = 4/9 are, so kappa = (2/3 - 4/9) / (1 - 4/9) = 0.4.
    assert boundary == {
        **{"first": "anna", "second": "ben", "label": "boundary", "frames": 3},
        **{"positive_first": 2, "positive_second": 1},
        "observed": pytest.approx(2 / 3),
        "kappa": pytest.approx(0.4),
        "f1": pytest.approx(2 / 3),
        "graded_frames": 0,
        **dict.fromkeys(GRADED_COLUMNS),
    }
    for row in (texture, motion):  # nobody says 1 in the common frames
        assert (row["observed"], row["kappa"], row["f1"], row["positive_first"]) == (1.0, None, None, 0)


def graded(**grades: list[str]) -> dict[str, pa.Table]:
    """Annotator → a row per frame of clips of two frames each."""
    return {
        name: labels_table(*(graded_row(f"{n // 2}.mp4", n % 2, one) for n, one in enumerate(rows)))
        for name, rows in grades.items()
    }


def test_graded_tables_are_compared_by_their_grades_too() -> None:
    table = compare_annotators(graded(**GRADES), RESAMPLED)
    assert table.schema.equals(AGREEMENT)
    rows = {row["label"]: row for row in table.to_pylist()}
    assert list(rows) == [*LABELS, "macro"]
    for n, label in enumerate(LABELS):
        a, b = (np.array([int(row[n]) for row in GRADES[name]]) for name in ("anna", "ben"))
        assert rows[label]["weighted_kappa"] == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"))
        if len({*(a >= 2)}) == len({*(b >= 2)}) == 2:
            expected = (roc_auc_score(b >= 2, a) + roc_auc_score(a >= 2, b)) / 2
            assert rows[label]["auroc"] == pytest.approx(expected)
    boundary = rows["boundary"]
    assert (boundary["positive_first"], boundary["positive_second"], boundary["graded_frames"]) == (2, 1, 4)
    assert rows["macro"]["positive_first"] is None
    assert rows["macro"]["weighted_kappa"] == pytest.approx(
        np.mean([rows[label]["weighted_kappa"] for label in LABELS])
    )
    assert compare_annotators(graded(**GRADES))["auroc_low"].null_count == 5, "no intervals without resamples"


def test_frames_that_one_of_a_pair_did_not_grade_count_for_labels_only() -> None:
    tables = graded(**GRADES)
    tables["ben"] = pa.concat_tables([tables["ben"].slice(0, 3), labels_table(label_row("1.mp4", 1, "1000"))])
    boundary = compare_annotators(tables)[:1].to_pylist()[0]
    assert (boundary["frames"], boundary["positive_second"], boundary["graded_frames"]) == (4, 2, 3)


def test_means_of_grades_are_compared_as_they_are() -> None:
    tables = graded(**GRADES)
    rows = [graded_row("0.mp4", 0, [0.5, 1.5, 2.5, 3]), graded_row("0.mp4", 1, [3, 1.5, 0, 0])]
    boundary = compare_annotators({"both": labels_table(*rows), "anna": tables["anna"]}).to_pylist()[0]
    # (0.5, 3) against (0, 3): E[(a - b)²] = 1/8; by chance the mean of 0.5², 2.5², 3² and 0².
    assert boundary["weighted_kappa"] == pytest.approx(1 - 0.125 / ((0.25 + 6.25 + 9 + 0) / 4))


def test_the_ceiling_of_all_annotators_together() -> None:
    tables = graded(**GRADES, cleo=["0023", "2210", "0012", "0000"])
    ceiling = ceiling_of(tables, RESAMPLED)
    assert ceiling is not None
    assert (ceiling.annotators, ceiling.frames, ceiling.clips) == (3, 4, 2)
    pairs = compare_annotators(tables)
    of_pairs = [row["auroc"] for row in pairs.to_pylist() if row["label"] == "object"]
    assert ceiling.estimate("auroc", "object").value == pytest.approx(np.mean(of_pairs))
    assert ceiling_of({"anna": tables["anna"]}, RESAMPLED) is None
    assert ceiling_of({}, RESAMPLED) is None


def test_each_pair_of_three() -> None:
    tables = {name: labels_table(label_row("a.mp4", 0, "0000")) for name in ("anna", "ben", "cleo")}
    table = compare_annotators(tables)
    pairs = dict.fromkeys(zip(table["first"].to_pylist(), table["second"].to_pylist(), strict=True))
    assert list(pairs) == [("anna", "ben"), ("anna", "cleo"), ("ben", "cleo")]


def test_one_table_of_several_annotators() -> None:
    rows = [label_row("a.mp4", 0, "1000", "anna"), label_row("a.mp4", 0, "0000", "ben"), label_row("a.mp4", 1, "0000")]
    split = split_by_annotator(labels_table(*rows), "sheet")
    assert {name: table["frame_index"].to_pylist() for name, table in split.items()} == {
        "anna": [0],
        "ben": [0],
        "sheet": [1],
    }


def test_what_cannot_be_compared() -> None:
    one, other = labels_table(label_row("a.mp4", 0, "0000")), labels_table(label_row("b.mp4", 0, "0000"))
    with pytest.raises(UsageError, match="agreement needs two annotators and anna is all there is; give two files"):
        compare_annotators({"anna": one})
    with pytest.raises(UsageError, match="anna and ben have no frame in common; compare labels of the same frames"):
        compare_annotators({"anna": one, "ben": other})
    twice = labels_table(graded_row("a.mp4", 0, "1000"), graded_row("a.mp4", 0, "0000"))
    with pytest.raises(UsageError, match=r"ben labels frame 0 of a\.mp4 in two ways; keep the one that holds"):
        compare_annotators({"anna": one, "ben": twice})


@pytest.mark.realdata
def test_the_two_passes_over_the_real_clips() -> None:
    table = compare_annotators(read_two("sora15", "labels"))
    figures = [
        (row["label"], row["positive_first"], row["positive_second"], *(round(row[n], d) for n, d in ROUNDED))
        for row in table.to_pylist()
    ]
    assert figures == [
        ("boundary", 94, 125, 0.737, 0.44, 0.64),
        ("texture", 106, 111, 0.937, 0.86, 0.91),
        ("motion", 76, 81, 0.883, 0.70, 0.78),
        ("object", 92, 107, 0.863, 0.69, 0.79),
    ]
    assert set(table["frames"].to_pylist()) == {300}


def read_two(folder: str, file: str) -> dict[str, pa.Table]:
    if not DATA.is_dir():
        pytest.skip("the real clips are not beside the project")
    return {name: read_labels(str(DATA / folder / f"{file}_{name}.csv")) for name in ("first", "second")}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "file", "kappa", "weighted", "auroc", "precision"),
    [
        (
            *("gen85", "labels", [0.61, 0.71, 0.67, 0.68], [0.66, 0.75, 0.71, 0.73]),
            *([0.86, 0.90, 0.90, 0.89], [0.56, 0.65, 0.65, 0.69]),
        ),
        (
            *("sora15", "severity", [0.67, 0.84, 0.44, 0.70], [0.67, 0.79, 0.74, 0.64]),
            *([0.89, 0.96, 0.88, 0.92], [0.61, 0.83, 0.38, 0.69]),
        ),
    ],
)
def test_two_passes_of_grades_over_the_real_clips(
    folder: str, file: str, kappa: list, weighted: list, auroc: list, precision: list
) -> None:
    """gen85: as its README gives them."""
    rows = compare_annotators(read_two(folder, file), RESAMPLED).to_pylist()
    for name, expected in (
        ("kappa", kappa),
        ("weighted_kappa", weighted),
        ("auroc", auroc),
        ("average_precision", precision),
    ):
        assert [round(row[name], 2) for row in rows[:4]] == expected
    assert all(row["auroc_low"] < row["auroc"] < row["auroc_high"] for row in rows)


ROUNDED = (("observed", 3), ("kappa", 2), ("f1", 2))
"""As the data's README gives them."""
