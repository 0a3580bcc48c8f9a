"""Drawn scenes: the same for the same seed, true to their model, and alike at any size."""

import itertools

import numpy as np
import pytest
import stage
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import FRAMES, HEIGHT, WIDTH

from artifactscan.errors import UsageError
from artifactscan.synthesis import random_scene
from artifactscan.synthesis.drawing import Part, draw_parts
from artifactscan.synthesis.figure import Figure, Limb, random_clothes
from artifactscan.synthesis.images import resize
from artifactscan.synthesis.patterns import SIDE, Pattern
from artifactscan.synthesis.thing import Thing

SEEDS = range(4)
WHITE = Pattern(np.full((SIDE, SIDE, 3), 255, np.float32), 1.0)


def walker(seed: int = 0) -> Figure:
    return Figure(
        action="walk",
        height=0.7,
        start=0.3 + 0.9j,
        speed=0.35,
        stride_s=1.1,
        phase=0.2,
        clothes=random_clothes(np.random.default_rng(seed)),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scene_is_a_clip_that_moves(seed: int) -> None:
    clip = stage.scene(seed).clip()
    assert clip.shape == (FRAMES, HEIGHT, WIDTH, 3) and clip.dtype == np.uint8
    moved = np.abs(clip[FRAMES // 2].astype(int) - clip[0]).max(axis=2) > 25
    assert 0.002 < moved.mean() < 0.9
    assert 20 < clip.mean() < 235 and clip.std() > 15, "a picture, neither dark nor blank"


def test_the_same_seed_draws_the_same_scene_in_any_order() -> None:
    one, again = (random_scene(4, height=64, width=96, seconds=1, fps=8) for _ in range(2))
    np.testing.assert_array_equal(one.clip()[5], again.draw(5)[0])
    np.testing.assert_array_equal(one.clip(), again.clip())


def test_other_seeds_draw_other_scenes() -> None:
    firsts = [stage.scene(seed).clip()[0].astype(int) for seed in SEEDS]
    differences = [np.abs(one - other).mean() for i, one in enumerate(firsts) for other in firsts[:i]]
    assert min(differences) > 15
    actions = {
        getattr(actor, "action", "") or getattr(actor, "kind", "") for s in SEEDS for actor in stage.scene(s).actors
    }
    assert len(actions) >= 5, "figures and things of many kinds"


def test_a_larger_frame_shows_the_same_scene() -> None:
    small, large = (random_scene(2, height=h, width=h * 16 // 9, seconds=1, fps=6) for h in (90, 180))
    assert [type(actor) for actor in small.actors] == [type(actor) for actor in large.actors]
    shrunk = resize(large.clip()[3].astype(np.float32), *small.clip().shape[1:3])
    assert np.abs(shrunk - small.clip()[3]).mean() < 12


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_say_which_actor_a_pixel_shows(seed: int) -> None:
    scene = stage.scene(seed)
    masks = scene.masks()
    assert masks.shape == (FRAMES, HEIGHT, WIDTH)
    assert set(np.unique(masks)) <= set(range(len(scene.actors) + 1))
    assert any(np.count_nonzero(masks == number + 1) for number in range(len(scene.actors)))
    for number, actor in enumerate(scene.actors):
        rows, _columns = np.nonzero(masks[0] == number + 1)
        if isinstance(actor, Figure) and len(rows) > 40:
            pose = scene.pose(number, 0)
            head = (pose.head - complex(scene.camera[0])) * HEIGHT
            assert rows.min() < head.imag + 4, "the head is the top of a figure, or an arm above it"


def test_things_have_no_joints() -> None:
    scene = stage.scene()
    thing = next(number for number, actor in enumerate(scene.actors) if isinstance(actor, Thing))
    with pytest.raises(UsageError, match=f"actor {thing} of the scene is a thing, it has no joints"):
        scene.pose(thing, 0)


@given(st.floats(0, 20), st.floats(-0.6, 0.6), st.floats(0.8, 1.4), st.floats(0, 1))
@settings(max_examples=20)
def test_bones_keep_their_length_and_feet_stay_above_ground(time_s: float, speed: float, stride_s: float, phase: float):
    figure = Figure(
        action="walk", height=0.8, start=0.9j, speed=speed, stride_s=stride_s, phase=phase, clothes=walker().clothes
    )
    pose = figure.pose(time_s)
    for leg in pose.legs:
        assert _bones(leg) == pytest.approx((0.255 * 0.8, 0.245 * 0.8), rel=0.02)
        assert leg.tip.imag <= 0.9 + 1e-9
    for arm in pose.arms:
        assert _bones(arm) == pytest.approx((0.165 * 0.8, 0.15 * 0.8))
    assert min(leg.tip.imag for leg in pose.legs) > 0.5, "legs hang down"
    assert max(leg.tip.imag for leg in pose.legs) == pytest.approx(0.9 - 0.04 * 0.8, abs=0.006), "one foot stands"


def test_a_foot_that_stands_does_not_slide() -> None:
    figure, step_s = walker(), 1 / 50
    poses = [figure.pose(n * step_s) for n in range(100)]
    standing = 0
    for before, now in itertools.pairwise(poses):
        for foot, moved in zip(before.legs, now.legs, strict=True):
            if min(foot.tip.imag, moved.tip.imag) == pytest.approx(0.9 - 0.04 * 0.7, abs=1e-6):
                standing += 1
                assert abs(moved.tip - foot.tip) < 1e-6, "the body moves by 0.007 meanwhile"
    assert standing > 80


def test_a_disc_has_the_area_of_a_disc() -> None:
    canvas, owners = np.zeros((80, 80, 3), np.float32), np.zeros((80, 80), np.uint8)
    part = Part(shape="ellipse", centre=0.5 + 0.5j, along=0.25 + 0j, half_width=0.25, pattern=WHITE, gloss=0)
    draw_parts(canvas, owners, 7, [part], 0j, 80)
    assert canvas.sum() / 255 / 3 == pytest.approx(np.pi * 20**2, rel=0.01)
    assert np.count_nonzero(owners == 7) == pytest.approx(np.pi * 20**2, rel=0.02)
    assert set(np.unique(owners)) == {0, 7}


@pytest.mark.parametrize("camera", [0j, 0.25 + 0.1j])
@pytest.mark.parametrize("shape", ["capsule", "ellipse", "box"])
def test_a_part_off_the_canvas_leaves_no_trace(shape, camera: complex) -> None:
    canvas = np.zeros((40, 40, 3), np.float32)
    for centre in (-1 + 0.5j, 0.5 - 1j, 2 + 0.5j, 0.5 + 2j):
        draw_parts(
            canvas, None, 1, [Part(shape=shape, centre=centre, along=0.2j, half_width=0.1, pattern=WHITE)], camera, 40
        )
    assert not canvas.any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"height": 16}, "a scene of 160x16 pixels is too small to draw; give at least 32 each way"),
        ({"seconds": 0.01}, "a scene of 0.01 seconds at 12 frames per second has no frame; give more of either"),
        ({"fps": -1}, "a scene of 1 seconds at -1 frames per second has no frame"),
        ({"seed": -3}, "the seed -3 is negative; give 0 or more"),
    ],
)
def test_what_cannot_be_drawn(given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        random_scene(**{"seed": 0, "height": 96, "width": 160, "seconds": 1, "fps": 12, **given})


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 200), (120, 68)])
def test_any_shape_of_frame_can_be_drawn(height: int, width: int) -> None:
    for seed in range(3):
        assert random_scene(seed, height=height, width=width, seconds=0.5, fps=4).clip().std() > 5


def _bones(limb: Limb) -> tuple[float, float]:
    return abs(limb.joint - limb.root), abs(limb.tip - limb.joint)
