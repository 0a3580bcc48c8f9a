"""Splits of labelled frames into training, tuning and test parts, under a named protocol."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS

Protocol = Literal["videos", "frames", "generators"]

PROTOCOLS: dict[str, str] = {
    "videos": "no video on both sides of a split",
    "frames": "random over frames; neighbouring frames leak from training into the test",
    "generators": "one maker of clips left out at a time; none of its clips is trained on",
}
"""Protocol → what it means, as printed in every table."""

_FINEST_FOLDS = 20
"""Most folds that a share is made of, but for a smaller share: within a fortieth of any share, at folds large enough to
be balanced."""


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How labelled frames are divided."""

    protocol: Protocol = "videos"
    """``frames`` is the paper's and measures memory of the clips; ``videos`` measures what to expect of new ones."""
    folds: int = 5
    """Number of folds under protocol ``videos``; protocol ``frames`` makes one split."""
    test_share: float = 0.2
    """Share of the frames, under protocol ``frames``; the default is the paper's."""
    tune_share: float = 0.2
    """Share of each training side that is kept for early stopping, calibration and thresholds; 0: none."""
    seed: int = 0
    """Under ``videos`` it only decides between videos that balance the folds equally well, so that the folds of two
    seeds are similar."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give 0 or more")
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"protocol {self.protocol!r} is not known; give {' or '.join(PROTOCOLS)}")
        if self.folds < 2:
            raise UsageError(f"folds is {self.folds}; give 2 or more")
        if not 0 < self.test_share < 1:
            raise UsageError(f"test share is {self.test_share}; give a share above 0 and below 1")
        if not 0 <= self.tune_share <= 0.5:
            raise UsageError(f"tune share is {self.tune_share}; give a share from 0 to 0.5")


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Positions of frames, each int64 (frames,) in rising order; no frame is in two parts."""

    protocol: Protocol
    fold: int
    fit: np.ndarray
    """For training the weights."""
    tune: np.ndarray
    """For early stopping, calibration and thresholds; may be empty."""
    test: np.ndarray


def make_splits(
    videos: Sequence[str], y: np.ndarray, settings: SplitSettings | None = None, makers: Sequence[str] | None = None
) -> tuple[Split, ...]:
    """Splits labelled frames; the same arguments give the same splits.

    ``videos`` names each frame's video, ``y`` is 0/1 (frames, labels). Under ``videos`` every frame is tested in
    exactly one split; ``frames`` makes one split; ``generators`` one for each of ``makers``, which names what made each
    frame's video. ``tune`` is chosen like ``test``: whole videos, or single frames.
    UsageError for fewer videos than folds, too few frames or videos to split, and for a ``fit`` part without a
    positive or without a negative of some label.
    """
    settings = settings or SplitSettings()
    names, y = np.asarray(videos, dtype=object), np.asarray(y)
    if settings.protocol == "generators":
        return _over_makers(names, y, settings, makers)
    splits = _over_videos(names, y, settings) if settings.protocol == "videos" else _over_frames(len(names), settings)
    for split in splits:
        check_split(names, y, split)
    return splits


def hold_out(videos: Sequence[str], y: np.ndarray, *, share: float, seed: int) -> Split:
    """About ``share`` of the videos to tune on, the others to train on, none to test; UsageError as ``make_splits``."""
    names, count = np.asarray(videos, dtype=object), len(set(videos))
    if count < 2:
        raise UsageError("the labels are of one clip, so none can be kept to tune on; label more, or --tune-share 0")
    fit, tune = _share_of_videos(names, np.asarray(y), share, seed)
    split = Split(protocol="videos", fold=0, fit=fit, tune=tune, test=tune[:0])
    check_split(names, y, split)
    return split


def check_split(videos: Sequence[str] | np.ndarray, y: np.ndarray, split: Split) -> None:
    """Checks a split that was computed or given by hand.

    UsageError for a frame in two parts; under ``videos`` for a video in two parts; for a label without a positive or
    without a negative in ``fit``.
    """
    names, y = np.asarray(videos, dtype=object), np.asarray(y)
    parts = {"fit": split.fit, "tune": split.tune, "test": split.test}
    for first, second in (("fit", "test"), ("tune", "test"), ("fit", "tune")):
        if frames := set(parts[first].tolist()) & set(parts[second].tolist()):
            raise UsageError(
                f"fold {split.fold} has frame {min(frames)} of the labels in both {first} and {second}; "
                "give each frame to one of them"
            )
        if split.protocol != "frames" and (both := set(names[parts[first]]) & set(names[parts[second]])):
            raise UsageError(
                f"fold {split.fold} has video {min(both)} in both {first} and {second}; "
                "give all its frames to one of them, or use protocol frames"
            )
    for label, column in zip(LABELS, y.T, strict=True):
        for kind, value in (("positive", 1), ("negative", 0)):
            if value in column[split.fit]:
                continue
            if value not in column:
                raise UsageError(
                    f"no {kind} frame of {label} is among the {len(y)} labelled ones, so it cannot be learned; "
                    "label some"
                )
            raise UsageError(
                f"fold {split.fold} has no {kind} frame of {label} among the {len(split.fit)} it trains on; "
                "label more videos with one, change the number of folds, or keep none to tune on (--tune-share 0)"
            )


def _over_videos(videos: np.ndarray, y: np.ndarray, settings: SplitSettings) -> tuple[Split, ...]:
    count = len(set(videos))
    if count < settings.folds:
        if count == 1:
            raise UsageError("the labels have only 1 video, and folds need two; label more, or use protocol frames")
        raise UsageError(
            f"folds is {settings.folds}, but the labels have only {count} videos; give fewer folds or label more videos"
        )
    splits = []
    for fold, (train, test) in enumerate(video_folds(videos, y, settings.folds, settings.seed)):
        fit, tune = _keep_videos_to_tune(videos, y, train, fold, settings)
        splits.append(Split(protocol="videos", fold=fold, fit=fit, tune=tune, test=test))
    return tuple(splits)


def _over_makers(
    videos: np.ndarray, y: np.ndarray, settings: SplitSettings, makers: Sequence[str] | None
) -> tuple[Split, ...]:
    way_out = "fill in column `generator` of the labels, or give --generator-pattern"
    names = np.asarray(["" for _ in videos] if makers is None else makers, dtype=object)
    if (unknown := names == "").any():
        raise UsageError(
            f"protocol generators needs the maker of every clip, and {videos[unknown][0]} has none; {way_out}"
        )
    known = sorted(set(names.tolist()))
    if len(known) < 2:
        raise UsageError(
            f"protocol generators leaves one maker out at a time, and {known[0] if known else 'none'} is the only one; "
            "label clips of another, or use protocol videos"
        )
    splits = []
    for fold, maker in enumerate(known):
        train, test = np.flatnonzero(names != maker), np.flatnonzero(names == maker)
        for label, column in zip(LABELS, y[train].T, strict=True):
            if column.all() or not column.any():
                kind = "positive" if not column.any() else "negative"
                raise UsageError(
                    f"without the clips of {maker} no {kind} frame of {label} is left to train on; label some of "
                    "another maker, or use protocol videos"
                )
        fit, tune = _keep_videos_to_tune(videos, y, train, fold, settings)
        split = Split(protocol="generators", fold=fold, fit=fit, tune=tune, test=test)
        check_split(videos, y, split)
        splits.append(split)
    return tuple(splits)


def _keep_videos_to_tune(
    videos: np.ndarray, y: np.ndarray, train: np.ndarray, fold: int, settings: SplitSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Divides the training side of a fold into the positions to fit on and those to tune on, by whole videos."""
    if not settings.tune_share:
        return train, train[:0]
    if len(set(videos[train])) < 2:
        raise UsageError(
            f"fold {fold} has only one video to train on, so none can be kept for calibration and thresholds; "
            "label more videos, or set the tune share to 0"
        )
    fit, tune = _share_of_videos(videos[train], y[train], settings.tune_share, settings.seed)
    return train[fit], train[tune]


def _share_of_videos(videos: np.ndarray, y: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the other videos' frames and of those of about ``share`` of the videos, at least two there are.

    The share is made of whole folds, 2 of 5 for 0.4, as folds are balanced and single videos are not.
    """
    most = min(max(_FINEST_FOLDS, round(1 / share)), len(set(videos)))
    nearest = Fraction(share).limit_denominator(most) or Fraction(1, most)
    folds = video_folds(videos, y, nearest.denominator, seed)
    part = np.sort(np.concatenate([fold for _, fold in folds[: nearest.numerator]]))
    return np.setdiff1d(np.arange(len(videos)), part), part


def video_folds(videos: np.ndarray, y: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test positions of each fold; folds have about equal sizes and positives of each label.

    StratifiedGroupKFold rather than GroupKFold, which on 50 clips gave one fold a third of another's positives. It
    balances one class per row, so each frame enters once per label, with that label's class, and once with a class
    common to all frames, which balances sizes. Combinations of the four labels would be classes too rare to balance.
    """
    frames, labels = y.shape
    common = np.full((frames, 1), 2 * labels)
    classes = np.concatenate([2 * np.arange(labels) + y, common], axis=1)
    rows, groups = classes.ravel(), np.repeat(videos, labels + 1)
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class rarer than folds; check_split raises when it matters
        divided = list(folding.split(rows, rows, groups))
    return [(np.unique(rest // (labels + 1)), np.unique(part // (labels + 1))) for rest, part in divided]


def _over_frames(frames: int, settings: SplitSettings) -> tuple[Split, ...]:
    train, test = _split_frames(np.arange(frames), settings.test_share, "test", settings.seed)
    fit, tune = train, train[:0]
    if settings.tune_share:
        fit, tune = _split_frames(train, settings.tune_share, "tune", settings.seed)
    return (Split(protocol="frames", fold=0, fit=fit, tune=tune, test=test),)


def _split_frames(positions: np.ndarray, share: float, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        rest, part = train_test_split(positions, test_size=share, random_state=seed)
    except ValueError:
        raise UsageError(
            f"{len(positions)} labelled frames cannot be divided with a {name} share of {share}; label more frames"
        ) from None
    return np.sort(rest), np.sort(part)
