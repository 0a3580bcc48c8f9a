"""Whether a checkpoint's scores tell clips with planted defects from others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy.stats import mannwhitneyu

from artifactscan.labels import LABELS
from artifactscan.messages.text import listed

SIGNIFICANCE = 0.05
"""Largest probability that a scorer which guesses is said to find any label; of one label, its share of that."""
_OF_ONE_LABEL = SIGNIFICANCE / len(LABELS)


@dataclass(frozen=True, kw_only=True)
class PlantedComparison:
    """One label's scores of the clips in which it was planted, against those of clips in which it was not."""

    label: str
    planted: int
    """Clips with it."""
    others: int
    """Clips without it: clean, or with planted defects of other labels only."""
    auroc: float | None
    """Of telling the two apart; None, as ``p_value``, where there are none of one kind."""
    p_value: float | None
    """Of the Mann–Whitney test that planted clips score higher, one-sided."""

    @property
    def found(self) -> bool:
        """Whether planted clips score above others by more than chance."""
        return self.p_value is not None and self.p_value <= _OF_ONE_LABEL

    @property
    def decidable(self) -> bool:
        """Whether there are clips enough for ``found`` to be possible."""
        return comb(self.planted + self.others, self.planted) >= 1 / _OF_ONE_LABEL


def compare_planted(scores: np.ndarray, planted: np.ndarray) -> tuple[PlantedComparison, ...]:
    """One comparison per label; ``scores`` float (clips, labels), ``planted`` bool (clips, labels)."""
    return tuple(_compare(label, scores[planted[:, i], i], scores[~planted[:, i], i]) for i, label in enumerate(LABELS))


def planted_in_words(comparisons: Sequence[PlantedComparison]) -> str:
    """Which planted defects the scores find, as a sentence."""
    found = [one.label for one in comparisons if one.found]
    missed = [one.label for one in comparisons if one.decidable and not one.found]
    unknown = [one.label for one in comparisons if not one.decidable]
    clauses = []
    if found:
        clauses.append(f"clips with planted {listed(found)} score above clips without")
    if missed:
        clauses.append(f"this checkpoint cannot tell clips with planted {listed(missed)} from clips without")
    if unknown:
        clauses.append(f"there are too few clips to say whether planted {listed(unknown)} would be found")
    return _capitalised("; ".join(clauses)) + "."


def print_planted(ledger: pd.DataFrame, planted: Mapping[str, Mapping[str, bool]], out: Console) -> None:
    """Prints for each label whether the planted clips of a scoring run are found.

    ``ledger``: VIDEOS rows; ``planted``: file name → label → whether planted. Other videos of the ledger are left out.
    """
    names = ledger["uri"].str.rsplit("/", n=1).str[-1]
    rows = ledger[names.isin(list(planted)) & ledger["mean_boundary"].notna()]
    shown = np.array([[planted[name][label] for label in LABELS] for name in names[rows.index]], bool)
    shown = shown.reshape(len(rows), len(LABELS))
    comparisons = compare_planted(np.asarray(rows[[f"mean_{label}" for label in LABELS]], float), shown)
    table = Table(title="Planted defects: are they found?", title_justify="left")
    for heading in (
        "label",
        "clips with it",
        "of these flagged",
        "clips without",
        "of these flagged",
        "AUROC",
        "found",
    ):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for i, one in enumerate(comparisons):
        flagged = np.asarray(rows[f"frames_over_{one.label}"]) > 0
        auroc = "–" if one.auroc is None else f"{one.auroc:.2f}"
        hits, alarms = int(flagged[shown[:, i]].sum()), int(flagged[~shown[:, i]].sum())
        found = "yes" if one.found else "no" if one.decidable else "too few clips"
        table.add_row(one.label, str(one.planted), str(hits), str(one.others), str(alarms), auroc, found)
    out.print(table)
    out.print(Text(planted_in_words(comparisons)), soft_wrap=True)


def _compare(label: str, planted: np.ndarray, others: np.ndarray) -> PlantedComparison:
    auroc = p_value = None
    if len(planted) and len(others):
        test = mannwhitneyu(planted, others, alternative="greater")
        auroc, p_value = float(test.statistic) / (len(planted) * len(others)), float(test.pvalue)
    return PlantedComparison(label=label, planted=len(planted), others=len(others), auroc=auroc, p_value=p_value)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
