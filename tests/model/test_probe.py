"""Probes: what they read, how windows and tiles are laid out, and that scores do not depend on batches."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.model.backbone import build_model, load_model, normalise, probe_frames
from artifactscan.model.checkpoint import Card, Checkpoint, load_checkpoint, save_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.model.probe import ProbeModel, pool_tiles, split_tiles
from artifactscan.model.probe_spec import ProbeSpec

VIT, RESNET = "test_vit.r160_in1k", "test_resnet.r160_in1k"
SPEC = InputSpec(height=160, width=160)


def probe_checkpoint(backbone: str = VIT, spec: InputSpec = SPEC, **probe) -> Checkpoint:
    card = Card(backbone=backbone, input=spec, probe=ProbeSpec(**{"components": 8, **probe}))
    torch.manual_seed(3)
    return Checkpoint(card=card, weights=safetensors.torch.save(dict(build_model(card).state_dict())))


def test_tiles_are_cut_by_row_and_pooled_by_mean_and_maximum() -> None:
    frames = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    tiles = split_tiles(frames, (2, 3))
    assert tiles.shape == (12, 3, 2, 2)
    assert torch.equal(tiles[6 + 4], frames[1, :, 2:4, 2:4])
    assert pool_tiles(torch.tensor([[1.0], [3.0], [5.0], [5.0]]), 2).tolist() == [[2, 3], [5, 5]]


def test_tokens_are_the_class_token_and_the_moments_of_the_patches() -> None:
    model = load_model(probe_checkpoint(blocks=(1,), tokens=("class", "mean", "std")))
    assert isinstance(model, ProbeModel)
    frames = normalise(torch.from_numpy(probe_frames(SPEC, 2)), SPEC)
    with torch.inference_mode():
        read = model.read(frames)
        backbone = model.backbone
        [(patches, prefix)] = backbone.forward_intermediates(  # type: ignore[operator]
            frames, indices=[1], return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
    width = prefix.shape[-1]
    assert torch.allclose(read[:, :width], prefix[:, 0])
    assert torch.allclose(read[:, width : 2 * width], patches.mean(dim=1), atol=1e-5)
    assert torch.allclose(read[:, 2 * width :], patches.std(dim=1), atol=1e-5)


def test_blocks_after_the_last_one_read_are_not_stored() -> None:
    whole, cut = (load_model(probe_checkpoint(blocks=blocks, tokens=("mean",))) for blocks in ((), (2,)))
    assert len(cut.backbone.blocks) == 3 < len(whole.backbone.blocks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("backbone", "probe", "message"),
    [
        (VIT, {"blocks": (99,), "tokens": ("mean",)}, "probe block 99 does not exist: the backbone has 6, 0 to 5"),
        (RESNET, {"blocks": (1,), "tokens": ("class",)}, "this backbone has no class token; read mean, std or max"),
        (VIT, {"tiles": (3, 1)}, "frames of 160x160 cannot be cut into 3x1 equal tiles"),
    ],
)
def test_a_probe_of_what_the_backbone_lacks_is_refused(backbone: str, probe: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(Card(backbone=backbone, input=SPEC, probe=ProbeSpec(**probe)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": (2, 1)}, "in rising order"),
        ({"blocks": (1,)}, "which is of the last feature map"),
        ({"tokens": ()}, "give one or more of pooled, class"),
        ({"components": -1}, "components is -1"),
        ({"neighbours": 9}, "give 0 to 8"),
        ({"tiles": (0, 1)}, "rows and columns"),
        ({"tiles": (1, 2.5)}, "probe tiles is \\(1, 2.5\\); give whole numbers"),
        ({"neighbours": 1.5}, "give whole numbers"),
        ({"unit_length": "no"}, "give true or false"),
        ({"sample_fps": 0.0}, "sample_fps is 0.0"),
    ],
)
def test_a_spec_out_of_range_is_refused(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProbeSpec(**values)


@pytest.mark.parametrize(
    "probe",
    [
        {"neighbours": 2},
        {"neighbours": 1, "smoothing": 0.6},
        {"blocks": (0, 2), "tokens": ("class", "std")},
        {"neighbours": 1, "tiles": (1, 2)},
    ],
)
def test_scores_do_not_depend_on_batches(probe: dict) -> None:
    spec = InputSpec(height=160, width=320) if "tiles" in probe else SPEC
    checkpoint = probe_checkpoint(spec=spec, **probe)
    frames = probe_frames(spec, 7)
    clips = [frames[:4], frames[:0], frames[4:]]
    together, singly = (
        Classifier(checkpoint, ClassifySettings(device="cpu", precision="fp32", batch_frames=size)) for size in (16, 3)
    )
    scores = together.scores(clips)
    assert scores.shape == (7, 4)
    assert np.allclose(scores, np.concatenate([singly.scores(clip) for clip in clips]), atol=1e-5)
    assert not np.allclose(scores[4], together.scores(frames)[4], atol=1e-4) or not checkpoint.card.context_frames


def test_a_probe_is_stored_and_read_again(tmp_path) -> None:
    checkpoint = probe_checkpoint(blocks=(0, 1), tokens=("mean",), neighbours=1)
    save_checkpoint(checkpoint, str(tmp_path))
    read = load_checkpoint(str(tmp_path))
    assert read.card.probe == ProbeSpec(blocks=(0, 1), tokens=("mean",), components=8, neighbours=1)
    assert read.digest == checkpoint.digest


def test_a_card_with_an_unknown_probe_field_is_refused(tmp_path) -> None:
    save_checkpoint(probe_checkpoint(), str(tmp_path))
    card = tmp_path / "card.json"
    card.write_text(card.read_text().replace('"components": 8', '"components": 8, "attention": true'))
    with pytest.raises(UsageError, match="its probe has an unknown field 'attention'; upgrade artifactscan"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize("backbone", [VIT, RESNET])
def test_the_last_feature_map_is_read_as_the_head_pools_it(backbone: str) -> None:
    model = load_model(probe_checkpoint(backbone, tokens=("pooled", "mean", "std", "max")))
    assert isinstance(model, ProbeModel)
    frames = normalise(torch.from_numpy(probe_frames(SPEC, 2)), SPEC)
    with torch.inference_mode():
        pooled, mean, std, most = model.read(frames).chunk(4, dim=1)
        features = model.backbone.forward_features(frames)  # type: ignore[operator]
    patches = features.flatten(2) if features.ndim == 4 else features[:, 1:].transpose(1, 2)
    assert torch.allclose(pooled, patches.mean(2) if features.ndim == 4 else features[:, 0], atol=1e-5)
    assert torch.allclose(mean, patches.mean(2), atol=1e-5)
    assert torch.allclose(std, patches.std(2), atol=1e-5)
    assert torch.equal(most, patches.amax(2))


def test_context_frames() -> None:
    assert ProbeSpec(neighbours=1, smoothing=0.5).context_frames == 2
    assert ProbeSpec(neighbours=1).context_frames == 1


@pytest.mark.parametrize("value", ["[]", "3", '{"blocks": 1}', '{"tiles": [1, 2.5]}'])
def test_a_card_whose_probe_is_none_is_refused(tmp_path, value: str) -> None:
    save_checkpoint(probe_checkpoint(), str(tmp_path))
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "probe": json.loads(value)}))
    with pytest.raises(UsageError, match="its probe"):
        load_checkpoint(str(tmp_path))
