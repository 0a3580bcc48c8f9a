"""Heat maps peak where the evidence for a label is."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoints import as_probe, random_probe
from torch.nn import functional

from artifactscan.decode.input_spec import InputSpec
from artifactscan.demo import marks
from artifactscan.errors import UsageError
from artifactscan.explain.heatmaps import HeatMapper
from artifactscan.labels import LABELS
from artifactscan.model.backbone import head, initialise, normalise, probe_frames
from artifactscan.model.checkpoint import BACKBONES, BUILTIN, Calibration, Checkpoint, load_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings

SMALL, SMALL_VIT = "test_resnet.r160_in1k", "test_vit.r160_in1k"
ALL = range(len(LABELS))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[SMALL, SMALL_VIT])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return marks.checkpoint(request.param)


def test_each_label_peaks_on_what_it_looks_for_wherever_that_is(checkpoint: Checkpoint) -> None:
    mapper, rng = HeatMapper(checkpoint), np.random.default_rng(5)
    for _ in range(8):
        cells = marks.choose_cells(rng)
        maps = mapper.maps(marks.draw(cells, rng), ALL)
        assert (maps.shape, maps.dtype) == ((4, marks.HEIGHT, marks.WIDTH), np.float32)
        for label, cell in cells.items():
            row, column = np.unravel_index(maps[label].argmax(), maps[label].shape)
            x, y = (column + 0.5) / marks.WIDTH, (row + 0.5) / marks.HEIGHT
            assert marks.is_on(cell, float(x), float(y)), LABELS[label]


def test_a_label_has_the_same_map_whichever_others_are_asked_for(checkpoint: Checkpoint) -> None:
    mapper, rng = HeatMapper(checkpoint), np.random.default_rng(6)
    frame = marks.draw(marks.choose_cells(rng), rng)
    np.testing.assert_allclose(mapper.maps(frame, [2, 0]), mapper.maps(frame, ALL)[[2, 0]], atol=1e-4)


def test_the_explained_model_gives_the_scores_of_the_classifier(checkpoint: Checkpoint) -> None:
    """The classifier folds batch norms, and uses another memory layout and other methods of the model."""
    calibration = {**checkpoint.card.calibration, "motion": Calibration(scale=0.5, offset=-1.0)}
    calibrated = replace(checkpoint, card=replace(checkpoint.card, calibration=calibration))
    frames = probe_frames(checkpoint.card.input)
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(frames), checkpoint.card.input)
        explained = torch.sigmoid(HeatMapper(calibrated).model(pixels)).numpy()
    scores = Classifier(calibrated, ClassifySettings(precision="fp32", device="cpu")).scores(frames)
    np.testing.assert_allclose(explained, scores, atol=1e-4)


def test_the_map_of_a_convolutional_backbone_adds_up_to_the_logit() -> None:
    checkpoint = initialise(SMALL, height=96, width=160, seed=2)
    mapper, frame = HeatMapper(checkpoint), probe_frames(checkpoint.card.input, 1)
    with torch.inference_mode():
        features = mapper.model.features(normalise(torch.from_numpy(frame), checkpoint.card.input))
        parts = torch.einsum("lc,chw->lhw", head(mapper.model.backbone).weight, features[0])
        logits = parts.mean(dim=(1, 2)) + head(mapper.model.backbone).bias
        torch.testing.assert_close(
            mapper.model(normalise(torch.from_numpy(frame), checkpoint.card.input))[0], logits, atol=1e-4, rtol=1e-4
        )
        heat = parts.relu()
        heat = heat - heat.amin(dim=(1, 2), keepdim=True)
        heat = heat / heat.amax(dim=(1, 2), keepdim=True)
        expected = functional.interpolate(heat[None], (96, 160), mode="bilinear", align_corners=False)[0]
    maps = mapper.maps(frame[0], ALL)
    np.testing.assert_allclose(maps, expected / expected.amax(dim=(1, 2), keepdim=True), atol=2e-3)


def test_a_map_is_empty_where_nothing_speaks_for_the_label() -> None:
    fresh = initialise(SMALL, height=64, width=64)
    weights = safetensors.torch.load(fresh.weights)
    weights["fc.weight"][1] = 0
    weights["fc.weight"][2] = -1  # features come out of a ReLU
    weights["fc.weight"][3] = 1
    mapper = HeatMapper(replace(fresh, weights=safetensors.torch.save(weights)))
    maps = mapper.maps(probe_frames(fresh.card.input, 1)[0], ALL)
    np.testing.assert_allclose(maps.max(axis=(1, 2))[1:], [0, 0, 1], atol=1e-3)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_four_backbones(name: str) -> None:
    fresh = initialise(name, height=64, width=96)
    first, second = (HeatMapper(fresh).maps(frame, ALL) for frame in probe_frames(fresh.card.input, 2))
    for maps in (first, second):
        assert maps.shape == (4, 64, 96)
        assert maps.min() >= 0
        peaks = maps.max(axis=(1, 2))
        assert peaks.max() > 0.99
        assert ((peaks == 0) | (peaks > 0.99)).all()
    assert np.abs(first - second).mean() > 0.01


def test_a_backbone_without_maps_is_refused() -> None:
    with pytest.raises(UsageError) as raised:
        HeatMapper(initialise("mixer_s32_224"))
    assert str(raised.value) == (
        "backbone mixer_s32_224 has no heat maps: its features of shape [49, 512] are neither those of a "
        "convolutional network nor the tokens of a plain vision transformer; explain a checkpoint of such a backbone"
    )


def test_a_probe_has_the_maps_of_the_checkpoint_with_the_same_head() -> None:
    plain, rng = marks.checkpoint(SMALL), np.random.default_rng(7)
    frame = marks.draw(marks.choose_cells(rng), rng)
    np.testing.assert_allclose(HeatMapper(as_probe(plain)).maps(frame, ALL), HeatMapper(plain).maps(frame, ALL))


@pytest.mark.parametrize(
    ("backbone", "probe"),
    [
        (SMALL, {"tokens": ("mean", "std", "max"), "unit_length": True, "components": 8, "neighbours": 1}),
        (SMALL_VIT, {"tokens": ("class", "mean")}),
        (SMALL_VIT, {"blocks": (1, 3), "tokens": ("class", "std"), "components": 8, "smoothing": 0.5}),
        (BUILTIN, {}),
    ],
)
def test_probes_have_maps_and_the_scores_of_the_classifier(backbone: str, probe: dict) -> None:
    """Each frame is a clip of its own."""
    if backbone == BUILTIN:
        checkpoint = load_checkpoint(BUILTIN)
    else:
        checkpoint = random_probe(backbone, InputSpec(height=160, width=160), **probe)
    mapper, frames = HeatMapper(checkpoint), probe_frames(checkpoint.card.input, 2)
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(frames), checkpoint.card.input)
        explained = torch.sigmoid(mapper.model(pixels)).numpy()
    classifier = Classifier(checkpoint, ClassifySettings(precision="fp32", device="cpu"))
    np.testing.assert_allclose(explained, classifier.scores([frames[:1], frames[1:]]), atol=1e-4)
    maps = mapper.maps(frames[0], ALL)
    assert maps.shape == (4, *frames.shape[1:3])
    assert maps.max() > 0.99
    assert np.abs(maps - mapper.maps(frames[1], ALL)).mean() > 0.01


@pytest.mark.parametrize(
    ("backbone", "probe", "message"),
    [
        (
            SMALL,
            {"blocks": (0, 1), "tokens": ("mean",)},
            f"this probe of {SMALL} has no heat maps: it reads blocks 0, 1 of a backbone that is not a plain vision "
            "transformer; explain a probe of its last feature map",
        ),
        (
            SMALL_VIT,
            {"tiles": (1, 2)},
            f"this probe of {SMALL_VIT} has no heat maps: it cuts frames into 1x2 tiles; explain a checkpoint without "
            "tiles",
        ),
    ],
)
def test_a_probe_without_maps_is_refused(backbone: str, probe: dict, message: str) -> None:
    width = 160 * probe.get("tiles", (1, 1))[1]
    with pytest.raises(UsageError) as raised:
        HeatMapper(random_probe(backbone, InputSpec(height=160, width=width), **probe))
    assert str(raised.value) == message
