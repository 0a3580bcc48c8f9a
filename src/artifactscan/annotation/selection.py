"""Chooses frames to label: spread out over videos and time, or by uncertainty or disagreement of checkpoints.

The same frames and scores give the same choice, whatever their order.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa

from artifactscan.labels import SCORE_COLUMNS

Measure = Literal["variance", "jensen-shannon"]

_TICKS_PER_S = 1_000_000
_KEY = ["video_id", "frame_index"]


@dataclass(frozen=True, kw_only=True)
class SelectionLimits:
    """How many frames to choose, and how far apart."""

    count: int | None = None
    """Frames in total; None for as many as the other limits allow."""
    per_video: int | None = None
    """Frames of one video."""
    min_gap_s: float = 0.0
    """Seconds between two chosen frames of one video, at least."""

    @property
    def restrict(self) -> bool:
        """Whether any frame may be left out."""
        return self.count is not None or self.per_video is not None or self.min_gap_s > 0


def scores_of(frames: pa.Table) -> np.ndarray:
    """The scores of a frames table: float64 (frames, labels) in 0..1."""
    return np.stack([frames[column].to_numpy().astype(np.float64) for column in SCORE_COLUMNS], axis=1)


def join_scores(tables: Sequence[pa.Table]) -> tuple[pa.Table, np.ndarray]:
    """The frames that every checkpoint scored, and all their scores: float64 (checkpoints, frames, labels).

    ``tables``: one frames table per checkpoint. The first one's rows are returned, sorted by video and frame.
    """
    positions = [
        {key: row for row, key in enumerate(zip(*(table[name].to_pylist() for name in _KEY), strict=True))}
        for table in tables
    ]
    common = sorted(set(positions[0]).intersection(*positions[1:]))
    rows = [np.array([position[key] for key in common], dtype=np.int64) for position in positions]
    scores = [scores_of(table)[taken] for table, taken in zip(tables, rows, strict=True)]
    return tables[0].take(pa.array(rows[0])), np.stack(scores)


def uncertainty(scores: np.ndarray) -> np.ndarray:
    """Uncertainty of a checkpoint: binary entropy of each label, bits, averaged; 0 (certain) to 1 (all at 0.5).

    ``scores``: float (frames, labels) in 0..1. Returns float64 (frames,).
    """
    return _entropy_bits(scores).mean(axis=-1)


def disagreement(scores: np.ndarray, measure: Measure = "variance") -> np.ndarray:
    """Disagreement of several checkpoints, averaged over the labels; 0 where all scores are the same.

    ``scores``: float (checkpoints, frames, labels) in 0..1. ``variance`` of the probabilities, at most 0.25; or the
    generalised ``jensen-shannon`` divergence, bits, at most 1: entropy of the mean minus mean of the entropies (Lin
    1991; as an acquisition score, BALD, Houlsby et al. 2011), which rates 0.01 and 0.1 further apart than 0.45 and
    0.54. Returns float64 (frames,).
    """
    if measure == "variance":
        return scores.var(axis=0).mean(axis=-1)
    divergence = _entropy_bits(scores.mean(axis=0)) - _entropy_bits(scores).mean(axis=0)
    return np.maximum(divergence, 0.0).mean(axis=-1)


def choose(frames: pa.Table, limits: SelectionLimits, values: np.ndarray | None = None) -> pa.Table:
    """Chooses rows of ``frames`` (video_id, frame_index, pts_s), sorted by video and frame.

    With ``values``, float (frames,), the highest are taken first. Without, one of every video is taken before a second
    of any, far from those taken before. A frame that would exceed a limit is passed over.
    """
    videos, pts_s = frames["video_id"].to_pylist(), frames["pts_s"].to_pylist()
    times: defaultdict[str, list[float]] = defaultdict(list)

    def fits(row: int) -> bool:
        taken = times[videos[row]]
        if limits.per_video is not None and len(taken) >= limits.per_video:
            return False
        return limits.min_gap_s <= 0 or all(abs(pts_s[row] - time) >= limits.min_gap_s for time in taken)

    chosen: list[int] = []
    # Both generators call `fits` lazily, after the rows before were added to `times`.
    rows = _round_robin(frames, fits) if values is None else _best_first(frames, values, fits)
    for row in islice(rows, limits.count):
        times[videos[row]].append(pts_s[row])
        chosen.append(row)
    return frames.take(pa.array(chosen, pa.int64())).sort_by([(name, "ascending") for name in _KEY])


def _best_first(frames: pa.Table, values: np.ndarray, fits: Callable[[int], bool]) -> Iterator[int]:
    video_id, frame_index = (frames[name].to_numpy() for name in _KEY)
    order = np.lexsort((frame_index, video_id, -np.asarray(values, dtype=np.float64)))
    return filter(fits, order.tolist())


def _round_robin(frames: pa.Table, fits: Callable[[int], bool]) -> Iterator[int]:
    """Rows round-robin over the videos, in the order of their ids, which are digests."""
    frame_index = frames["frame_index"].to_pylist()
    by_video = sorted(_rows_by_video(frames).items())
    turns = deque(iter(_middles_first(sorted(rows, key=frame_index.__getitem__))) for _, rows in by_video)
    while turns:
        rows = turns.popleft()
        if (row := next(filter(fits, rows), None)) is not None:
            yield row
            turns.append(rows)


def _rows_by_video(frames: pa.Table) -> Mapping[str, list[int]]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, video in enumerate(frames["video_id"].to_pylist()):
        rows[video].append(row)
    return rows


def _middles_first(rows: list[int]) -> Iterator[int]:
    """The middle row, then the middles of the halves on both sides, and so on."""
    gaps = deque([(0, len(rows))])
    while gaps:
        start, end = gaps.popleft()
        if start < end:
            middle = (start + end) // 2
            yield rows[middle]
            gaps += [(start, middle), (middle + 1, end)]


def _entropy_bits(p: np.ndarray) -> np.ndarray:
    """Binary entropy of probabilities ``p``, bits; 0 at 0 and 1."""
    inner = np.clip(p, np.finfo(np.float64).tiny, 1.0)
    outer = np.clip(1.0 - p, np.finfo(np.float64).tiny, 1.0)
    return -(p * np.log2(inner) + (1.0 - p) * np.log2(outer))
