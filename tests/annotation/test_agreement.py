"""Agreement of annotators, against figures worked out by hand and against the real labels."""

import pytest
from labelled import label_row, labels_table
from paths import SHARED

from artifactscan.annotation.agreement import AGREEMENT, compare_annotators, split_by_annotator
from artifactscan.annotation.labels_table import read_labels
from artifactscan.errors import UsageError

DATA = SHARED / "data" / "sora15"


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
    }
    for row in (texture, motion):  # nobody says 1 in the common frames
        assert (row["observed"], row["kappa"], row["f1"], row["positive_first"]) == (1.0, None, None, 0)


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


@pytest.mark.realdata
def test_the_two_passes_over_the_real_clips() -> None:
    if not DATA.is_dir():
        pytest.skip("the real clips are not beside the project")
    table = compare_annotators({name: read_labels(str(DATA / f"labels_{name}.csv")) for name in ("first", "second")})
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


ROUNDED = (("observed", 3), ("kappa", 2), ("f1", 2))
"""As the data's README gives them."""
