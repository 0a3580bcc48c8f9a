"""Drawn scenes: the same for the same seed, true to their model, and alike at any size."""

import itertools

import numpy as np
import pytest
import stage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stage import FRAMES, HEIGHT, WIDTH

from artifactscan.errors import UsageError
from artifactscan.synthesis.drawing import PATTERN_SIDE, Part, Pattern, draw_parts
from artifactscan.synthesis.figure import Figure, random_surfaces
from artifactscan.synthesis.scene import random_scene

SEEDS = range(4)
WHITE = Pattern(np.full((PATTERN_SIDE, PATTERN_SIDE, 3), 255, np.float32), 1.0)
SURFACES = random_surfaces(np.random.default_rng(0))


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
    assert min(np.abs(one - other).mean() for one, other in itertools.combinations(firsts, 2)) > 15
    kinds = {getattr(actor, "kind", "figure") for seed in SEEDS for actor in stage.scene(seed).actors}
    assert kinds == {"figure", "ball", "crate", "tree"}


def test_a_larger_frame_shows_the_same_scene() -> None:
    small, large = (random_scene(2, height=h, width=h * 16 // 9, seconds=1, fps=6) for h in (90, 180))
    assert [type(actor) for actor in small.actors] == [type(actor) for actor in large.actors]
    shrunk = np.asarray(Image.fromarray(large.clip()[3]).resize((160, 90), Image.Resampling.BOX)).astype(int)
    assert np.abs(shrunk - small.clip()[3]).mean() < 12


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_say_which_actor_a_pixel_shows(seed: int) -> None:
    scene = stage.scene(seed)
    masks = scene.masks()
    assert masks.shape == (FRAMES, HEIGHT, WIDTH)
    assert set(np.unique(masks)) <= set(range(len(scene.actors) + 1))
    heads = 0
    for number, actor in enumerate(scene.actors):
        rows, _columns = np.nonzero(masks[0] == number + 1)
        if isinstance(actor, Figure) and len(rows) > 40:
            heads += 1
            head = (actor.pose(0).head - complex(scene.camera[0])) * HEIGHT
            assert rows.min() < head.imag + 4, "the head is the top of a figure, or an arm above it"
    assert heads


@given(st.floats(0, 20), st.floats(-0.6, 0.6), st.floats(0.8, 1.4), st.floats(0, 1))
@settings(max_examples=20)
def test_bones_keep_their_length_and_feet_stay_above_ground(time_s: float, speed: float, stride_s: float, phase: float):
    pose = Figure(height=0.8, start=0.9j, speed=speed, stride_s=stride_s, phase=phase, surfaces=SURFACES).pose(time_s)
    for leg in pose.legs:
        assert np.abs(np.diff(leg)) == pytest.approx((0.255 * 0.8, 0.245 * 0.8), rel=0.02)
    for arm in pose.arms:
        assert np.abs(np.diff(arm)) == pytest.approx((0.165 * 0.8, 0.15 * 0.8))
    ankles = np.imag(pose.legs[:, 2])
    assert ankles.min() > 0.5, "legs hang down"
    assert ankles.max() <= 0.9 + 1e-9
    assert ankles.max() == pytest.approx(0.9 - 0.04 * 0.8, abs=0.006), "one foot stands"


def test_a_foot_that_stands_does_not_slide() -> None:
    figure = Figure(height=0.7, start=0.3 + 0.9j, speed=0.35, stride_s=1.1, phase=0.2, surfaces=SURFACES)
    ankles = np.stack([figure.pose(n / 50).legs[:, 2] for n in range(100)])
    standing = np.isclose(np.minimum(np.imag(ankles[:-1]), np.imag(ankles[1:])), 0.9 - 0.04 * 0.7, atol=1e-6)
    assert standing.sum() > 80
    assert np.abs(np.diff(ankles, axis=0))[standing].max() < 1e-6, "the body moves by 0.007 meanwhile"


def test_a_disc_has_the_area_of_a_disc() -> None:
    canvas, owners = np.zeros((80, 80, 3), np.float32), np.zeros((80, 80), np.uint8)
    part = Part(shape="ellipse", centre=0.5 + 0.5j, along=0.25 + 0j, half_width=0.25, pattern=WHITE, gloss=0)
    draw_parts(canvas, [part], 0j, 80, owners, 7)
    assert canvas.sum() / 255 / 3 == pytest.approx(np.pi * 20**2, rel=0.01)
    assert np.count_nonzero(owners == 7) == pytest.approx(np.pi * 20**2, rel=0.02)
    assert set(np.unique(owners)) == {0, 7}


@pytest.mark.parametrize("camera", [0j, 0.25 + 0.1j])
@pytest.mark.parametrize("shape", ["capsule", "ellipse", "box"])
def test_a_part_off_the_canvas_leaves_no_trace(shape, camera: complex) -> None:
    canvas = np.zeros((40, 40, 3), np.float32)
    for centre in (-1 + 0.5j, 0.5 - 1j, 2 + 0.5j, 0.5 + 2j):
        part = Part(shape=shape, centre=centre, along=0.2j, half_width=0.1, pattern=WHITE)
        draw_parts(canvas, [part], camera, 40)
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
def test_a_scene_that_cannot_be_drawn_is_refused(given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        random_scene(**{"seed": 0, "height": 96, "width": 160, "seconds": 1, "fps": 12, **given})


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 200), (120, 68)])
def test_any_shape_of_frame_can_be_drawn(height: int, width: int) -> None:
    for seed in range(3):
        assert random_scene(seed, height=height, width=width, seconds=0.5, fps=4).clip().std() > 5
