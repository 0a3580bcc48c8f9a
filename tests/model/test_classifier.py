"""Scores depend on the frame and the checkpoint alone, however frames are batched."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model import backbone
from artifactscan.model.backbone import initialise, normalise, probe_frames
from artifactscan.model.checkpoint import Calibration, Checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE, ClassifySettings

SMALL = "test_resnet.r160_in1k"
FP32 = ClassifySettings(precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return initialise(SMALL, height=64, width=112, seed=3)


@pytest.fixture(scope="module")
def frames(checkpoint: Checkpoint) -> np.ndarray:
    return probe_frames(checkpoint.card.input, 24)


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint, frames: np.ndarray) -> np.ndarray:
    """Scores of timm's model, eager, in one batch."""
    return plain_scores(checkpoint, frames)


def plain_scores(checkpoint: Checkpoint, frames: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(frames), checkpoint.card.input)
        return torch.sigmoid(backbone.load_model(checkpoint)(pixels)).numpy()


def test_the_scores_spread(expected: np.ndarray) -> None:
    """Otherwise the tests below prove nothing."""
    assert expected.std(axis=0).min() > 0.03


@given(data=st.data())
@settings(max_examples=8)
def test_batches_clips_and_order_do_not_matter(
    checkpoint: Checkpoint, frames: np.ndarray, expected: np.ndarray, data: st.DataObject
) -> None:
    batch = data.draw(st.integers(1, 30))
    order = data.draw(st.permutations(range(24)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 23))))
    classifier = Classifier(checkpoint, replace(FP32, batch_frames=batch))
    scores = classifier.scores(np.split(frames[list(order)], cuts))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected[list(order)], atol=1e-4)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "vit_tiny_patch16_224"])
def test_folding_and_memory_layout_do_not_matter(name: str) -> None:
    checkpoint = initialise(name, height=64, width=96)
    frames = probe_frames(checkpoint.card.input, 6)
    scores = Classifier(checkpoint, FP32).scores([frames])
    assert scores.shape == (6, len(LABELS))
    np.testing.assert_allclose(scores, plain_scores(checkpoint, frames), atol=1e-3 if "efficientnet" in name else 1e-4)


def test_a_checkpoint_is_all_a_classifier_needs(
    checkpoint: Checkpoint, frames: np.ndarray, expected: np.ndarray
) -> None:
    classifier = Classifier(checkpoint)
    scores = classifier.scores(frames)
    assert (scores.dtype, scores.shape) == (np.float32, (24, len(LABELS)))
    np.testing.assert_allclose(scores[:8], expected[:8], atol=MAX_SCORE_CHANGE)  # the probe frames, even in bf16
    assert np.array_equal(scores, classifier.scores([frames]))
    device, precision, batch = classifier.device, classifier.precision, classifier.batch_frames
    assert repr(classifier) == f"Classifier({SMALL}, 64x112 pixels, {device}, {precision}, batches of {batch})"


def test_no_frames(checkpoint: Checkpoint, frames: np.ndarray) -> None:
    classifier = Classifier(checkpoint, FP32)
    for nothing in ([], frames[:0], [frames[:0]]):
        scores = classifier.scores(nothing)
        assert (scores.dtype, scores.shape) == (np.float32, (0, len(LABELS)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((2, 112, 64, 3), np.uint8), "frames are uint8 of shape (2, 112, 64, 3)"),
        (np.zeros((64, 112, 3), np.uint8), "frames are uint8 of shape (64, 112, 3)"),
        (np.zeros((2, 64, 112, 3), np.float32), "frames are float32 of shape (2, 64, 112, 3)"),
    ],
    ids=["size", "one frame", "type"],
)
def test_frames_of_another_shape_or_type_are_refused(checkpoint: Checkpoint, wrong: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        Classifier(checkpoint, FP32).scores(wrong)
    assert str(raised.value) == f"{words}; give uint8 RGB of shape (n, 64, 112, 3), which is the checkpoint's input"


def test_frames_in_read_only_memory(checkpoint: Checkpoint, frames: np.ndarray, expected: np.ndarray) -> None:
    locked = np.frombuffer(frames.tobytes(), np.uint8).reshape(frames.shape)
    np.testing.assert_allclose(Classifier(checkpoint, FP32).scores([locked]), expected, atol=1e-4)


def test_calibration_is_applied(checkpoint: Checkpoint, frames: np.ndarray, expected: np.ndarray) -> None:
    calibration = {**checkpoint.card.calibration, "motion": Calibration(scale=2.0, offset=-1.0)}
    calibrated = replace(checkpoint, card=replace(checkpoint.card, calibration=calibration))
    logits = np.log(expected / (1 - expected))
    logits[:, LABELS.index("motion")] = 2 * logits[:, LABELS.index("motion")] - 1
    scores = Classifier(calibrated, FP32).scores([frames])
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_bf16_on_request(checkpoint: Checkpoint, frames: np.ndarray, expected: np.ndarray) -> None:
    classifier = Classifier(checkpoint, replace(FP32, precision="bf16"))
    assert classifier.precision == "bf16"
    assert classifier.notes[0].startswith("bf16, which moves a score of the probe frames by up to 0.")
    change = np.abs(classifier.scores([frames]) - expected).max()
    assert 0 < change < 0.1


def test_auto_takes_bf16_only_where_no_score_moves_much(checkpoint: Checkpoint, frames: np.ndarray) -> None:
    exact = Classifier(checkpoint, FP32).scores([frames[:8]])
    classifier = Classifier(checkpoint, replace(FP32, precision="auto"))
    change = np.abs(classifier.scores([frames[:8]]) - exact).max()
    assert change < MAX_SCORE_CHANGE
    assert classifier.precision in ("fp32", "bf16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="--device cuda: torch finds no GPU here; use --device cpu"):
        Classifier(checkpoint, replace(FP32, device="cuda"))
    said = r"--device auto: there is a GPU on node .+, where torch 2\..* finds none; use --device cpu, or a torch"
    with pytest.raises(UsageError, match=said):
        Classifier(checkpoint, replace(FP32, device="auto").on("cuda"))


_SHORT_OF_MEMORY = """
import resource, sys
import numpy as np
from artifactscan.model.backbone import initialise, probe_frames
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings

checkpoint = initialise("test_resnet.r160_in1k", height=192, width=192, seed=3)
frames = np.tile(probe_frames(checkpoint.card.input, 8), (16, 1, 1, 1))
small = Classifier(checkpoint, ClassifySettings(precision="fp32", batch_frames=8), threads=1)
expected = small.scores([frames])
large = Classifier(checkpoint, ClassifySettings(precision="fp32", batch_frames=128), threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20),) * 2)
scores = large.scores([frames])
np.testing.assert_allclose(scores, expected, atol=1e-4)
assert large.batch_frames < 128, large.batch_frames
print(large.notes[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_a_batch_that_does_not_fit_is_halved() -> None:
    done = subprocess.run([sys.executable, "-c", _SHORT_OF_MEMORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out of memory with 128 frames per batch: went on with 64\n"
