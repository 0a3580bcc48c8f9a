"""Simulated labels and predictions for tests: videos that differ, frames of one video that are alike."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from artifactscan.evaluation.predictions import predictions_table
from artifactscan.labels import LABELS


def labels_of(videos: Sequence[str], *, share: float = 0.35, seed: int = 0) -> np.ndarray:
    """int (frames, labels): a label's share of a video's frames is drawn per video, so that it clusters."""
    rng = np.random.default_rng(seed)
    names = sorted(set(videos))
    shares = rng.beta(2 * share, 2 * (1 - share), (len(names), len(LABELS)))
    at = {name: i for i, name in enumerate(names)}
    return (rng.random((len(videos), len(LABELS))) < shares[[at[video] for video in videos]]).astype(int)


def names_of(videos: int, frames_each: int = 10) -> list[str]:
    """The video of each frame."""
    return [f"v{i:03}" for i in range(videos) for _ in range(frames_each)]


def predictions(
    videos: int = 20,
    frames_each: int = 10,
    *,
    folds: int = 4,
    seed: int = 0,
    skill: float = 2.0,
    sharpness: float = 1.0,
) -> pa.Table:
    """Predictions in the PREDICTIONS schema; video i is in fold i modulo ``folds``.

    Logits are the labels' plus noise of each frame and of its video; ``sharpness`` above 1 makes them overconfident.
    """
    rng = np.random.default_rng(seed)
    names = names_of(videos, frames_each)
    y = labels_of(names, seed=seed)
    of_video = np.repeat(rng.normal(0, 1, (videos, len(LABELS))), frames_each, axis=0)
    logits = sharpness * (skill * (y - 0.5) + of_video + rng.normal(0, 1, y.shape))
    fold = np.repeat(np.arange(videos) % folds, frames_each)
    index = np.tile(np.arange(frames_each), videos)
    return pa.concat_tables(
        [
            predictions_table(
                files=[f"clips/{names[i]}.mp4" for i in np.flatnonzero(fold == one)],
                frame_index=index[fold == one],
                videos=[names[i] for i in np.flatnonzero(fold == one)],
                y=y[fold == one],
                logits=logits[fold == one],
                fold=one,
            )
            for one in range(folds)
        ]
    )
