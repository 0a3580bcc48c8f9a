"""Splits into training, tuning and test parts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from predicted import labels_of, names_of

from artifactscan.errors import UsageError
from artifactscan.evaluation.splits import SplitSettings, check_split, hold_out, make_splits

VIDEOS = names_of(20)
Y = labels_of(VIDEOS)
NAMES = np.array(VIDEOS)


@settings(max_examples=25)
@given(data=st.data(), folds=st.integers(2, 5), seed=st.integers(0, 9), tune_share=st.sampled_from([0.0, 0.2, 0.5]))
def test_videos_are_never_shared_and_every_frame_is_tested_once(
    data: st.DataObject, folds: int, seed: int, tune_share: float
) -> None:
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=3, max_size=15))
    videos = [f"v{i}" for i, length in enumerate(lengths) for _ in range(length)]
    y = labels_of(videos, share=0.5, seed=seed)
    try:
        splits = make_splits(videos, y, SplitSettings(folds=folds, seed=seed, tune_share=tune_share))
    except UsageError as error:
        assert "videos" in str(error) or "frame" in str(error)
        assume(False)
        raise
    names = np.array(videos)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(videos)))
    for split in splits:
        parts = [set(names[part]) for part in (split.fit, split.tune, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(lengths)
        assert len(split.fit) + len(split.tune) + len(split.test) == len(videos)
        assert bool(len(split.tune)) == bool(tune_share)


def test_folds_have_about_as_many_frames_and_positives_of_each_label() -> None:
    videos = names_of(40)
    y = labels_of(videos)
    splits = make_splits(videos, y, SplitSettings(folds=4))
    assert [len(split.test) for split in splits] == pytest.approx([100] * 4, abs=20)
    shares = np.array([y[split.test].mean(axis=0) for split in splits])
    assert np.abs(shares - y.mean(axis=0)).max() < 0.06
    assert [len(split.tune) / (len(split.fit) + len(split.tune)) for split in splits] == pytest.approx(
        [0.2] * 4, abs=0.07
    )


@pytest.mark.parametrize("share", [0.04, 0.1, 0.15, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.45, 0.5])
def test_the_kept_share_is_the_one_asked_for(share: float) -> None:
    """0.4 kept a half, as folds were counted by 1 / share."""
    videos = names_of(100, 4)
    y = labels_of(videos)
    kept = hold_out(videos, y, share=share, seed=0)
    assert len({videos[one] for one in kept.tune}) == pytest.approx(100 * share, abs=1)
    assert len(kept.tune) / len(videos) == pytest.approx(share, abs=0.015)
    assert sorted([*kept.fit, *kept.tune]) == list(range(len(videos)))
    split = make_splits(videos, y, SplitSettings(folds=4, tune_share=share))[0]
    assert len(split.tune) / (len(split.fit) + len(split.tune)) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("share", "kept"), [(0.1, 1), (0.2, 1), (0.3, 1), (0.4, 1), (0.5, 2)])
def test_of_few_videos_at_least_one_is_kept(share: float, kept: int) -> None:
    y = np.array([[1, 0, 1, 0], [0, 1, 0, 1]] * 2)
    assert len(hold_out(list("abcd"), y, share=share, seed=0).tune) == kept


def test_the_frames_protocol_is_one_random_split_of_80_to_20() -> None:
    (split,) = make_splits(VIDEOS, Y, SplitSettings(protocol="frames"))
    assert (len(split.fit), len(split.tune), len(split.test)) == (128, 32, 40)
    assert sorted([*split.fit, *split.tune, *split.test]) == list(range(200))
    assert set(NAMES[split.test]) & set(NAMES[split.fit])  # the leak it is named for


@pytest.mark.parametrize("protocol", ["videos", "frames"])
def test_the_seed_decides_between_equal_splits(protocol: str) -> None:
    y = np.tile([[1, 0, 1, 0], [0, 1, 0, 1]], (100, 1))

    def tests(seed: int) -> list[list[int]]:
        settings = SplitSettings(protocol=protocol, seed=seed)  # type: ignore[arg-type]
        return [split.test.tolist() for split in make_splits(VIDEOS, y, settings)]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


def test_splitting_works_with_as_many_videos_as_folds_and_one_frame_each() -> None:
    y = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
    splits = make_splits(list("abcde"), y, SplitSettings(folds=5, tune_share=0))
    assert sorted(split.test.tolist() for split in splits) == [[0], [1], [2], [3], [4]]


def test_fewer_videos_than_folds() -> None:
    with pytest.raises(UsageError, match="only 1 video, and folds need two; label more, or use protocol frames"):
        make_splits(names_of(1), labels_of(names_of(1)), SplitSettings(folds=2))
    with pytest.raises(UsageError, match="folds is 5, but the labels have only 3 videos; give fewer folds"):
        make_splits(names_of(3), labels_of(names_of(3)))


def test_one_video_to_train_on_cannot_be_divided() -> None:
    with pytest.raises(UsageError, match="fold 0 has only one video to train on"):
        make_splits(names_of(2), labels_of(names_of(2)), SplitSettings(folds=2))


def test_a_label_whose_only_positives_are_tested_on() -> None:
    (split,) = make_splits(VIDEOS, Y, SplitSettings(protocol="frames"))
    y = Y.copy()
    y[:, 2] = 0
    y[split.test, 2] = 1
    with pytest.raises(UsageError, match=r"fold 0 has no positive frame of motion among the 128 it trains on.*or keep"):
        check_split(VIDEOS, y, split)


@pytest.mark.parametrize(("value", "kind"), [(0, "positive"), (1, "negative")])
@pytest.mark.parametrize("protocol", ["videos", "frames"])
def test_a_label_of_one_class_in_training(protocol: str, value: int, kind: str) -> None:
    y = Y.copy()
    y[:, 2] = value
    with pytest.raises(UsageError, match=rf"^no {kind} frame of motion is among the 200 labelled ones"):
        make_splits(VIDEOS, y, SplitSettings(protocol=protocol))  # type: ignore[arg-type]


@pytest.mark.parametrize("sides", [("fit", "test"), ("tune", "test"), ("fit", "tune")])
def test_a_video_on_two_sides_of_a_given_split(sides: tuple[str, str]) -> None:
    split = make_splits(VIDEOS, Y)[0]
    check_split(VIDEOS, Y, split)
    moved = getattr(split, sides[0])[:1]
    parts = {
        sides[0]: getattr(split, sides[0])[1:],
        sides[1]: np.sort(np.concatenate([getattr(split, sides[1]), moved])),
    }
    with pytest.raises(UsageError, match=f"fold 0 has video {NAMES[moved[0]]} in both {sides[0]} and {sides[1]}"):
        check_split(VIDEOS, Y, replace(split, **parts))
    check_split(VIDEOS, Y, replace(split, protocol="frames", **parts))


def test_a_frame_on_two_sides_of_a_given_split() -> None:
    (split,) = make_splits(VIDEOS, Y, SplitSettings(protocol="frames"))
    both = np.concatenate([split.test, split.fit[:1]])
    with pytest.raises(UsageError, match=f"fold 0 has frame {split.fit[0]} of the labels in both fit and test"):
        check_split(VIDEOS, Y, replace(split, test=both))


def test_too_few_frames_to_divide() -> None:
    with pytest.raises(UsageError, match=r"1 labelled frames cannot be divided with a test share of 0\.2"):
        make_splits(["a"], np.ones((1, 4), int), SplitSettings(protocol="frames"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"protocol": "clips"}, "protocol 'clips' is not known; give videos or frames"),
        ({"folds": 1}, "folds is 1; give 2 or more"),
        ({"test_share": 1.0}, "test share is 1.0"),
        ({"tune_share": 0.6}, "tune share is 0.6"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SplitSettings(**values)


@settings(max_examples=25)
@given(
    makers=st.lists(st.sampled_from(["sora", "veo", "camera"]), min_size=20, max_size=20),
    tune_share=st.sampled_from([0.0, 0.2]),
)
def test_each_maker_is_left_out_once(makers: list[str], tune_share: float) -> None:
    of_video = dict(zip(dict.fromkeys(VIDEOS), makers, strict=True))
    names = np.array([of_video[video] for video in VIDEOS])
    try:
        splits = make_splits(VIDEOS, Y, SplitSettings(protocol="generators", tune_share=tune_share), names.tolist())
    except UsageError as error:
        assert "maker" in str(error) or "without the clips of" in str(error) or "frame of" in str(error)
        assume(False)
        raise
    assert [set(names[split.test]) for split in splits] == [{maker} for maker in sorted(set(makers))]
    for split in splits:
        assert not set(names[split.test]) & set(names[np.concatenate([split.fit, split.tune])])
        assert not set(NAMES[split.fit]) & set(NAMES[split.tune])
        assert len(split.fit) + len(split.tune) + len(split.test) == len(VIDEOS)
        assert bool(len(split.tune)) == bool(tune_share)


def generators(videos: list[str], y: list[list[int]], makers: list[str] | None) -> None:
    make_splits(videos, np.array(y), SplitSettings(protocol="generators", tune_share=0), makers)


def test_makers_that_cannot_be_left_out() -> None:
    videos, y = ["a", "b", "c"], [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    unknown = "protocol generators needs the maker of every clip, and {} has none; fill in column `generator`"
    with pytest.raises(UsageError, match=unknown.format("a")):
        generators(videos, y, None)
    with pytest.raises(UsageError, match=unknown.format("b")):
        generators(videos, y, ["sora", "", "veo"])
    with pytest.raises(UsageError, match="leaves one maker out at a time, and sora is the only one; label clips of"):
        generators(videos, y, ["sora"] * 3)
    with pytest.raises(UsageError, match="without the clips of sora no positive frame of boundary is left to train on"):
        generators(videos, y, ["sora", "veo", "camera"])
    full = [[1] * 4, [1] * 4, [0] * 4]
    with pytest.raises(UsageError, match="without the clips of camera no negative frame of boundary is left to train"):
        generators(videos, full, ["sora", "veo", "camera"])


def test_a_maker_without_any_defect_is_left_out_like_the_others() -> None:
    videos, y = ["a", "b", "c", "d", "e"], [[1] * 4, [0] * 4, [1] * 4, [0] * 4, [0] * 4]
    makers = ["sora", "sora", "veo", "veo", "camera"]
    splits = make_splits(videos, np.array(y), SplitSettings(protocol="generators", tune_share=0), makers)
    assert [split.test.tolist() for split in splits] == [[4], [0, 1], [2, 3]]
