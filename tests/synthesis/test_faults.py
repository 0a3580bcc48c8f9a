"""Artifacts in drawn scenes: motion and object in the model, boundary and texture on the surfaces."""

import itertools

import numpy as np
import pytest
import stage
from stage import END, FRAMES, HEIGHT, START, WIDTH, artifact, change, check_honest

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.synthesis import SCENE_VARIANTS, Box, clean_clip, inject_into_scene
from artifactscan.synthesis.faults import Fault, extent
from artifactscan.synthesis.figure import Figure, Pose
from artifactscan.synthesis.scene import Scene

ALL = [(label, variant) for label, variants in SCENE_VARIANTS.items() for variant in variants]


def figure_of(scene: Scene) -> int:
    return next(number for number, actor in enumerate(scene.actors) if isinstance(actor, Figure))


def wrong_pose(variant: str, strength: float, frame: int, seed: int = 0) -> tuple[Pose, Pose]:
    """A figure's pose as it is and with a fault."""
    pose = stage.scene().pose(figure_of(stage.scene()), frame)
    return pose, Fault(artifact=artifact("motion", variant, strength), seed=(seed,)).pose(frame, pose)


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_a_variant_shows_where_its_label_and_boxes_say(label: str, variant: str) -> None:
    scene = stage.scene()
    clean = clean_clip(scene.clip())
    broken = inject_into_scene(scene, [artifact(label, variant)], seed=0)
    check_honest(clean, broken, LABELS.index(label))
    labelled = broken.labels[:, LABELS.index(label)]
    assert labelled[START:END].mean() > 0.9
    assert not np.delete(broken.labels, LABELS.index(label), axis=1).any()


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_more_strength_is_more_difference(label: str, variant: str) -> None:
    scene = stage.scene()
    differences = [
        change(scene.clip(), inject_into_scene(scene, [artifact(label, variant, strength)], seed=0).frames).mean()
        for strength in (0.0, 0.4, 1.0)
    ]
    assert differences[0] == 0
    assert all(more > 0.97 * less for less, more in itertools.pairwise(differences)), differences
    assert differences[-1] > differences[1]


@pytest.mark.parametrize("variant", ["bent", "extra", "floating", "melted"])
def test_the_same_seed_gives_the_same_clip(variant: str) -> None:
    label = next(label for label, known in ALL if known == variant)
    one, again = (inject_into_scene(stage.scene(), [artifact(label, variant)], seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.frames, again.frames)
    assert one.boxes == again.boxes


def test_a_bent_limb_keeps_its_bones_and_its_joint() -> None:
    for seed in range(6):
        pose, wrong = wrong_pose("bent", 1.0, START + 3, seed)
        limbs = zip(pose.arms + pose.legs, wrong.arms + wrong.legs, strict=True)
        changed = [(limb, bent) for limb, bent in limbs if limb != bent]
        assert len(changed) == 1
        limb, bent = changed[0]
        assert (bent.root, bent.joint) == (limb.root, limb.joint)
        assert abs(bent.tip - bent.joint) == pytest.approx(abs(limb.tip - limb.joint))
        turned = np.angle((bent.tip - bent.joint) / (limb.tip - limb.joint), deg=True)
        assert 95 < abs(turned) <= 130


def test_swapped_limbs_hang_from_each_others_joints() -> None:
    pose, wrong = wrong_pose("swapped", 1.0, START + 3)
    side = int(pose.arms[1] != wrong.arms[1])
    assert wrong.arms[side].root == pytest.approx(pose.legs[side].root)
    assert wrong.legs[side].root == pytest.approx(pose.arms[side].root)
    assert (wrong.arms[1 - side], wrong.legs[1 - side]) == (pose.arms[1 - side], pose.legs[1 - side])


def test_a_sliding_figure_moves_as_a_whole_over_the_ground() -> None:
    pose, wrong = wrong_pose("sliding", 1.0, (START + END) // 2)
    by = wrong.pelvis - pose.pelvis
    assert abs(by) > 0.1 and by.imag == 0
    for limb, moved in zip(pose.arms + pose.legs, wrong.arms + wrong.legs, strict=True):
        assert moved.tip - limb.tip == pytest.approx(by)


def test_an_extra_arm_grows_from_a_shoulder() -> None:
    pose, wrong = wrong_pose("extra", 0.5, START)
    assert wrong.arms == pose.arms and len(wrong.extra_arms) == 1
    assert wrong.extra_arms[0].root == pose.arms[1].root
    angle = np.angle(
        (wrong.extra_arms[0].joint - pose.arms[1].root) / (pose.arms[1].joint - pose.arms[1].root), deg=True
    )
    assert abs(angle) == pytest.approx(0.5 * 110 * 0.9)


@pytest.mark.parametrize("variant", ["bent", "swapped", "sliding", "extra"])
def test_no_strength_or_another_frame_is_no_fault(variant: str) -> None:
    for strength, frame in ((0.0, START), (1.0, START - 1), (1.0, END)):
        pose, same = wrong_pose(variant, strength, frame)
        assert same == pose


def test_a_floating_object_is_higher_and_a_split_one_is_two() -> None:
    scene = stage.scene()
    parts = scene.actors[0].parts(0.5) if not isinstance(scene.actors[0], Figure) else []
    parts = parts or scene.actors[0].parts(scene.pose(0, 6))  # pyright: ignore[reportArgumentType]
    frame = END - 1
    floating = Fault(artifact=artifact("object", "floating", 1.0), seed=(0,)).parts(frame, parts)
    assert extent(floating)[3] < extent(parts)[3] - 0.15
    split = Fault(artifact=artifact("object", "split", 1.0), seed=(0,)).parts(frame, parts)
    assert len(split) == 2 * len(parts)
    assert extent(split)[0] < extent(parts)[0] and extent(split)[1] > extent(parts)[1]
    gone = Fault(artifact=artifact("object", "vanished", 1.0), seed=(0,)).parts(frame, parts)
    assert [part.opacity for part in gone] == [0.0] * len(parts)


def test_several_artifacts_keep_their_labels_whatever_their_order() -> None:
    scene = stage.scene()
    wanted = [artifact("texture", "boiling"), artifact("object", "vanished"), artifact("motion", "bent")]
    clip = inject_into_scene(scene, wanted, seed=2)
    again = inject_into_scene(scene, wanted[::-1], seed=2)
    assert clip.labels[:, 1:].any(axis=0).all() and not clip.labels[:, 0].any()
    assert (
        {a.variant for a in clip.artifacts} == {a.variant for a in again.artifacts} == {"boiling", "vanished", "bent"}
    )
    np.testing.assert_array_equal(clip.frames[:START], scene.clip()[:START])
    np.testing.assert_array_equal(clip.frames[END:], scene.clip()[END:])


def test_the_object_in_the_box_is_struck() -> None:
    scene = stage.scene()
    for number in np.unique(scene.masks()[START:END])[1:]:
        rows, columns = np.nonzero((scene.masks()[START:END] == number).all(axis=0))
        if len(rows) < 30:
            continue
        box = Box(x=int(columns.min()), y=int(rows.min()), width=int(np.ptp(columns)) + 1, height=int(np.ptp(rows)) + 1)
        clip = inject_into_scene(scene, [artifact("texture", "smeared", box=box)], seed=0)
        changed = change(scene.clip(), clip.frames)[START:END] >= 10
        assert changed.any()
        grown = np.stack([_grown(mask == number) for mask in scene.masks()[START:END]])
        assert not (changed & ~grown).any(), f"actor {number - 1} alone is smeared"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"label": "motion", "variant": "frozen"},
            "motion variant 'frozen' cannot be injected here; choose one of bent",
        ),
        ({"label": "object", "variant": "split", "box": Box(x=0, y=90, width=9, height=9)}, "does not lie within"),
    ],
)
def test_what_a_scene_cannot_take(given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        inject_into_scene(stage.scene(), [artifact(**given)], seed=0)


def test_the_scene_itself_stays_clean() -> None:
    before = stage.scene().clip().copy()
    inject_into_scene(stage.scene(), [artifact(label, variant) for label, variant in ALL[::3]], seed=1)
    np.testing.assert_array_equal(stage.scene().clip(), before)
    assert before.shape == (FRAMES, HEIGHT, WIDTH, 3)


def _grown(mask: np.ndarray) -> np.ndarray:
    """The mask and two pixels around it."""
    padded = np.pad(mask, 2)
    return np.any(
        [padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]] for dy in range(5) for dx in range(5)], axis=0
    )
