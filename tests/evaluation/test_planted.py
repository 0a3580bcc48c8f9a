"""Scores of clips with planted defects against those of clean clips."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import roc_auc_score

from artifactscan.evaluation.planted import compare_planted, planted_in_words, print_planted
from artifactscan.labels import LABELS


def clips(planted: dict[str, list[float]], clean: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """For each label clips with these scores of it and 0.5 of the others; then clean clips with one score for all."""
    rows, shown = [], []
    for label, values in planted.items():
        for value in values:
            rows.append([value if one == label else 0.5 for one in LABELS])
            shown.append([one == label for one in LABELS])
    return np.array([*rows, *([value] * 4 for value in clean)]), np.array([*shown, *([False] * 4 for _ in clean)])


def test_clips_with_a_planted_label_are_compared_with_all_others() -> None:
    scores, planted = clips({"boundary": [0.8, 0.9, 0.7], "texture": [0.6, 0.1, 0.1], "motion": [0.9]}, [0.1, 0.2, 0.3])
    boundary, texture, motion, object_ = compare_planted(scores, planted)
    assert (boundary.planted, boundary.others, boundary.auroc, boundary.found) == (3, 7, 1, True)
    assert boundary.p_value == pytest.approx(1 / 120, abs=0.002)  # one of the ways to choose three of ten
    assert texture.auroc == pytest.approx((7 + 0.5 + 0.5) / 21)  # 0.6 is above all, each 0.1 ties with one
    assert (texture.decidable, texture.found) == (True, False)
    assert (motion.auroc, motion.decidable, motion.found) == (1, False, False)  # p is 1 / 10 at best
    assert (object_.planted, object_.auroc, object_.p_value, object_.found) == (0, None, None, False)
    assert planted_in_words((boundary, texture, motion, object_)) == (
        "Clips with planted boundary score above clips without; this checkpoint cannot tell clips with planted texture "
        "from clips without; there are too few clips to say whether planted motion and object would be found."
    )


@settings(max_examples=50)
@given(
    planted=st.lists(st.floats(0, 1), min_size=1, max_size=8), clean=st.lists(st.floats(0, 1), min_size=1, max_size=8)
)
def test_the_auroc_is_scikit_learn_s(planted: list[float], clean: list[float]) -> None:
    found = compare_planted(*clips({"motion": planted}, clean))[2]
    truth = [1] * len(planted) + [0] * len(clean)
    assert found.auroc == pytest.approx(roc_auc_score(truth, [*planted, *clean]))


def test_the_table_is_of_the_planted_clips_of_a_run_only() -> None:
    planted = {f"{n}.mp4": {label: label == "motion" and n < 5 for label in LABELS} for n in range(10)}
    rows = [
        {"uri": f"clips/{name}", **{f"mean_{label}": 0.9 if shown[label] else 0.2 + n / 100 for label in LABELS}}
        | {f"frames_over_{label}": 3 * shown[label] for label in LABELS}
        for n, (name, shown) in enumerate(planted.items())
    ]
    rows.append({"uri": "clips/other.mp4", **{f"mean_{label}": 0.0 for label in LABELS}})
    rows.append({"uri": "clips/broken.mp4"})
    out = io.StringIO()
    print_planted(pd.DataFrame(rows), {**planted, "broken.mp4": planted["0.mp4"]}, Console(file=out, width=120))
    (motion,) = [line for line in out.getvalue().splitlines() if line.startswith("│ motion")]
    assert [cell.strip() for cell in motion.strip("│").split("│")] == ["motion", "5", "5", "5", "0", "1.00", "yes"]
    assert "Clips with planted motion score above clips without" in out.getvalue()


def test_a_scorer_that_guesses_finds_none_of_the_labels_19_times_of_20() -> None:
    rng = np.random.default_rng(0)
    planted = np.repeat(np.eye(len(LABELS), dtype=bool), 6, axis=0)
    said = [any(one.found for one in compare_planted(rng.random(planted.shape), planted)) for _ in range(400)]
    assert np.mean(said) < 0.07
