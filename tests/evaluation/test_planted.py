"""Scores of clips with planted defects against those of clean clips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from artifactscan.evaluation.planted import compare_planted, planted_in_words
from artifactscan.labels import LABELS


def clips(planted: dict[str, list[float]], clean: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and what is planted: for each label clips with these scores of it, and clean clips with four scores."""
    rows, shown = [list(row) for row in clean], [[False] * 4 for _ in clean]
    for label, values in planted.items():
        for value in values:
            rows.append([value if one == label else 0.5 for one in LABELS])
            shown.append([one == label for one in LABELS])
    return np.array(rows), np.array(shown)


def test_planted_clips_are_compared_with_clips_without_any_defect() -> None:
    clean = [[0.1, 0.6, 0.5, 0.5], [0.2, 0.7, 0.5, 0.5], [0.3, 0.8, 0.5, 0.5]]
    boundary, texture, motion, object_ = compare_planted(
        *clips({"boundary": [0.8, 0.9, 0.7], "texture": [0.65, 0.1], "motion": [0.5]}, clean)
    )
    assert (boundary.planted, boundary.clean, boundary.auroc) == (3, 3, 1)
    assert boundary.p_value == pytest.approx(1 / 20)  # one of the twenty ways to divide six
    assert boundary.found
    assert (texture.auroc, texture.found) == (pytest.approx(1 / 6), False)
    assert (motion.auroc, motion.found) == (0.5, False)
    assert (object_.planted, object_.auroc, object_.p_value, object_.found) == (0, None, None, False)
    assert planted_in_words((boundary, texture, motion, object_)) == (
        "Clips with planted boundary score above clean ones; this checkpoint does not tell planted texture and motion "
        "from clean clips."
    )


def test_without_clean_clips_nothing_is_said_to_be_found() -> None:
    found = compare_planted(*clips({"motion": [0.9]}, []))
    assert planted_in_words(found) == "No label has both planted and clean clips with a score."


@settings(max_examples=50)
@given(
    planted=st.lists(st.floats(0, 1), min_size=1, max_size=8), clean=st.lists(st.floats(0, 1), min_size=1, max_size=8)
)
def test_the_auroc_is_scikit_learn_s(planted: list[float], clean: list[float]) -> None:
    found = compare_planted(*clips({"motion": planted}, [[0, 0, value, 0] for value in clean]))[2]
    truth = [1] * len(planted) + [0] * len(clean)
    assert found.auroc == pytest.approx(roc_auc_score(truth, [*planted, *clean]))
