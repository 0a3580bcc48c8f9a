"""How far a judge agrees with itself on the frames that it was asked about twice."""

from dataclasses import dataclass
from math import isnan

import numpy as np
import pyarrow as pa
from sklearn.metrics import cohen_kappa_score

from artifactscan.judge.judgement_tables import JUDGED, count_contradictions
from artifactscan.labels import LABELS, MAX_SEVERITY, SEVERITY_COLUMNS


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """A judge's agreement with itself."""

    frames: int
    """Frames with two answers."""
    contradicted: int
    """Those of them whose answers contradict each other."""
    kappa: dict[str, float | None]
    """Cohen's kappa with quadratic weights, by label; None where all grades are the same."""

    @property
    def contradicted_share(self) -> float:
        return self.contradicted / self.frames if self.frames else 0.0


def measure_consistency(answers: pa.Table, outcomes: pa.Table) -> Consistency:
    """The consistency of merged ANSWERS, and the FRAME_OUTCOMES made of them."""
    by_frame: dict[tuple[str, int], list[list[int]]] = {}
    frames = set(zip(outcomes["file"].to_pylist(), outcomes["frame_index"].to_pylist(), strict=True))
    for row in answers.to_pylist():
        key = row["file"], row["frame_index"]
        if row["outcome"] == JUDGED and key in frames:
            by_frame.setdefault(key, []).append([row[column] for column in SEVERITY_COLUMNS])
    pairs = np.array([grades for grades in by_frame.values() if len(grades) == 2]).reshape(-1, 2, len(LABELS))
    kappa = {label: _kappa(pairs[:, 0, n], pairs[:, 1, n]) for n, label in enumerate(LABELS)}
    return Consistency(frames=len(pairs), contradicted=count_contradictions(outcomes)[0], kappa=kappa)


def _kappa(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(np.union1d(first, second)) < 2:
        return None
    value = float(cohen_kappa_score(first, second, labels=range(MAX_SEVERITY + 1), weights="quadratic"))
    return None if isnan(value) else value
