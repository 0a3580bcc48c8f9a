"""Whether a checkpoint's scores tell clips with planted defects from clean ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from artifactscan.labels import LABELS

SIGNIFICANCE = 0.05
"""Largest p value at which planted clips count as scored above clean ones."""


@dataclass(frozen=True, kw_only=True)
class PlantedComparison:
    """One label's scores of the clips in which it was planted, against those of clips in which nothing was."""

    label: str
    planted: int
    """Clips."""
    clean: int
    """Clips."""
    auroc: float | None
    """Of telling the two apart; None, as ``p_value``, where there are none of one kind."""
    p_value: float | None
    """Of the Mann–Whitney test that planted clips score higher, one-sided."""

    @property
    def found(self) -> bool:
        """Whether planted clips score above clean ones by more than chance."""
        return self.p_value is not None and self.p_value <= SIGNIFICANCE


def compare_planted(scores: np.ndarray, planted: np.ndarray) -> tuple[PlantedComparison, ...]:
    """One comparison per label; ``scores`` float (clips, labels), ``planted`` bool (clips, labels)."""
    clean = ~planted.any(axis=1)
    return tuple(_compare(label, scores[planted[:, i], i], scores[clean, i]) for i, label in enumerate(LABELS))


def planted_in_words(comparisons: Sequence[PlantedComparison]) -> str:
    """Which planted defects the scores find, as a sentence."""
    found = [one.label for one in comparisons if one.found]
    missed = [one.label for one in comparisons if not one.found and one.auroc is not None]
    clauses = []
    if found:
        clauses.append(f"clips with planted {_listed(found)} score above clean ones")
    if missed:
        clauses.append(f"this checkpoint does not tell planted {_listed(missed)} from clean clips")
    if not clauses:
        clauses.append("no label has both planted and clean clips with a score")
    return _capitalised("; ".join(clauses)) + "."


def _compare(label: str, planted: np.ndarray, clean: np.ndarray) -> PlantedComparison:
    auroc = p_value = None
    if len(planted) and len(clean):
        test = mannwhitneyu(planted, clean, alternative="greater")
        auroc, p_value = float(test.statistic) / (len(planted) * len(clean)), float(test.pvalue)
    return PlantedComparison(label=label, planted=len(planted), clean=len(clean), auroc=auroc, p_value=p_value)


def _listed(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
