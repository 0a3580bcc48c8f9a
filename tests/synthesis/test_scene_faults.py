"""Artifacts in drawn scenes: motion and object in the model, boundary and texture on the surfaces."""

import itertools

import numpy as np
import pytest
import stage
from stage import END, HEIGHT, START, WIDTH, artifact, change, check_honest

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.synthesis.artifact import SCENE_VARIANTS, clean_clip, enclosing_box
from artifactscan.synthesis.figure import Figure, Pose
from artifactscan.synthesis.inject import inject_into_scene
from artifactscan.synthesis.scene_faults import Fault, extent

ALL = [(label, variant) for label, variants in SCENE_VARIANTS.items() for variant in variants]


def pose_with_fault(variant: str, strength: float, frame: int, seed: int = 0) -> tuple[Pose, Pose]:
    """A figure's pose as it is and with a fault."""
    figure = next(actor for actor in stage.scene().actors if isinstance(actor, Figure))
    pose = figure.pose(frame / stage.scene().fps)
    return pose, Fault(artifact=artifact("motion", variant, strength), seed=(seed,)).change_pose(frame, pose)


@pytest.mark.parametrize(("label", "variant"), ALL)
def test_a_variant_shows_where_its_label_and_boxes_say(label: str, variant: str) -> None:
    scene = stage.scene()
    clean, broken = clean_clip(scene.clip()), inject_into_scene(scene, [artifact(label, variant)], seed=0)
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


@pytest.mark.parametrize(("label", "variant"), [ALL[1], ALL[5], ALL[8], ALL[11]])
def test_the_same_seed_gives_the_same_clip(label: str, variant: str) -> None:
    one, again = (inject_into_scene(stage.scene(), [artifact(label, variant)], seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.frames, again.frames)
    assert one.boxes == again.boxes


def test_a_bent_limb_keeps_its_bones_and_its_joint() -> None:
    for seed in range(6):
        pose, wrong = pose_with_fault("bent", 1.0, START + 3, seed)
        limbs, bent_limbs = np.vstack([pose.arms, pose.legs]), np.vstack([wrong.arms, wrong.legs])
        ((number, place),) = np.argwhere(limbs != bent_limbs)
        assert place == 2, "only a hand or a foot moves"
        limb, bent = limbs[number], bent_limbs[number]
        assert abs(bent[2] - bent[1]) == pytest.approx(abs(limb[2] - limb[1]))
        assert 95 < abs(np.angle((bent[2] - bent[1]) / (limb[2] - limb[1]), deg=True)) <= 130


def test_swapped_limbs_hang_from_each_others_joints() -> None:
    pose, wrong = pose_with_fault("swapped", 1.0, START + 3)
    (side,) = np.flatnonzero((pose.arms != wrong.arms).any(axis=1))
    assert wrong.arms[side, 0] == pytest.approx(pose.legs[side, 0])
    assert wrong.legs[side, 0] == pytest.approx(pose.arms[side, 0])
    assert (wrong.legs[1 - side] == pose.legs[1 - side]).all()


def test_a_sliding_figure_moves_as_a_whole_over_the_ground() -> None:
    pose, wrong = pose_with_fault("sliding", 1.0, (START + END) // 2)
    by = wrong.pelvis - pose.pelvis
    assert abs(by) > 0.1 and by.imag == 0
    np.testing.assert_allclose(wrong.legs - pose.legs, by)
    np.testing.assert_allclose(wrong.arms - pose.arms, by)


def test_an_extra_arm_grows_from_a_shoulder() -> None:
    pose, wrong = pose_with_fault("extra", 0.5, START)
    assert (wrong.arms[:2] == pose.arms).all() and len(wrong.arms) == 3
    (shoulder, elbow, _), (root, joint, _) = pose.arms[1], wrong.arms[2]
    assert root == shoulder
    assert abs(np.angle((joint - root) / (elbow - shoulder), deg=True)) == pytest.approx(0.5 * 110 * 0.9)


@pytest.mark.parametrize("variant", ["bent", "swapped", "sliding", "extra"])
def test_no_strength_or_another_frame_is_no_fault(variant: str) -> None:
    for strength, frame in ((0.0, START), (1.0, START - 1), (1.0, END)):
        pose, same = pose_with_fault(variant, strength, frame)
        assert same is pose


def test_a_floating_object_is_higher_and_a_split_one_is_two() -> None:
    parts = stage.scene().actors[0].parts(0.5)  # pyright: ignore[reportArgumentType] - the tree

    def wrong(variant: str):
        return Fault(artifact=artifact("object", variant, 1.0), seed=(0,)).change_parts(END - 1, parts)

    assert extent(wrong("floating"))[3] < extent(parts)[3] - 0.15
    assert len(wrong("split")) == 2 * len(parts)
    assert extent(wrong("split"))[0] < extent(parts)[0] and extent(wrong("split"))[1] > extent(parts)[1]
    assert [part.opacity for part in wrong("vanished")] == [0.0] * len(parts)


def test_several_artifacts_keep_their_labels_whatever_their_order() -> None:
    scene = stage.scene()
    wanted = [artifact("texture", "boiling"), artifact("object", "vanished"), artifact("motion", "bent")]
    for order in (wanted, wanted[::-1]):
        clip = inject_into_scene(scene, order, seed=2)
        assert clip.labels[:, 1:].any(axis=0).all() and not clip.labels[:, 0].any()
        assert {a.variant for a in clip.artifacts} == {"boiling", "vanished", "bent"}
        np.testing.assert_array_equal(clip.frames[:START], scene.clip()[:START])
        np.testing.assert_array_equal(clip.frames[END:], scene.clip()[END:])


def test_the_object_in_the_box_is_affected() -> None:
    scene = stage.scene()
    for number in range(1, len(scene.actors) + 1):
        box = enclosing_box((scene.masks()[START:END] == number).any(axis=0))
        clip = inject_into_scene(scene, [artifact("texture", "smeared", box=box)], seed=0)
        changed = change(scene.clip(), clip.frames)[START:END] >= 10
        assert changed.any()
        padded = np.pad(scene.masks()[START:END] == number, ((0, 0), (2, 2), (2, 2)))
        shifts = itertools.product(range(5), repeat=2)
        near = np.any([padded[:, dy : dy + HEIGHT, dx : dx + WIDTH] for dy, dx in shifts], axis=0)
        assert not (changed & ~near).any(), f"actor {number - 1} alone is smeared"


def test_an_artifact_that_a_scene_cannot_show_is_refused() -> None:
    said = "motion variant 'frozen' cannot be injected here; choose one of bent, swapped, sliding, extra"
    with pytest.raises(UsageError, match=said):
        inject_into_scene(stage.scene(), [artifact("motion", "frozen")], seed=0)


def test_the_scene_itself_stays_clean() -> None:
    before = stage.scene().clip().copy()
    inject_into_scene(stage.scene(), [artifact(label, variant) for label, variant in ALL[::3]], seed=1)
    np.testing.assert_array_equal(stage.scene().clip(), before)
