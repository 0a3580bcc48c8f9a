"""The weights that training starts from."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from hub_server import HubServer

from artifactscan.errors import UsageError
from artifactscan.model.backbone import initialise, load_model
from artifactscan.model.checkpoint import checkpoint_files, load_checkpoint, save_checkpoint
from artifactscan.training.initial_weights import initial_checkpoint

SMALL = "test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with timm's names and a head of a thousand classes."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model(SMALL).state_dict(), path)
    return path


def test_a_file_of_timm_weights(weights: Path) -> None:
    checkpoint = initial_checkpoint(str(weights), SMALL, height=32, width=64)
    stored, model = safetensors.torch.load_file(weights), load_model(checkpoint)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, torch.zeros_like(tensor) if name.startswith("fc.") else stored[name]), name
    assert (checkpoint.card.input.height, checkpoint.card.input.width) == (32, 64)
    assert not checkpoint.card.trained
    assert checkpoint.card.origin == "weights weights.safetensors"


def test_position_embeddings_are_resized_to_the_input(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit.r160_in1k").state_dict(), path)
    checkpoint = initial_checkpoint(str(path), "test_vit.r160_in1k", height=64, width=96)
    assert load_model(checkpoint)(torch.rand(1, 3, 64, 96)).shape == (1, 4)


def test_training_may_start_from_a_checkpoint(tmp_path: Path) -> None:
    first = initialise(SMALL, height=48, width=80, seed=3)
    save_checkpoint(first, str(tmp_path / "first"))
    second = initial_checkpoint(str(tmp_path / "first"), SMALL, width=96)
    assert second.weights == first.weights
    assert (second.card.input.height, second.card.input.width) == (48, 96)
    assert first.digest in second.card.origin
    with pytest.raises(UsageError, match=r"holds a test_resnet\.r160_in1k, not a resnet50"):
        initial_checkpoint(str(tmp_path / "first"), "resnet50")


def test_training_may_start_from_a_model_hub(hub: HubServer, weights: Path) -> None:
    first = initialise(SMALL, height=48, width=80, seed=3)
    commit = hub.commit("org/name", checkpoint_files(first))
    second = initial_checkpoint(f"hf://org/name@{commit}", SMALL)
    assert second.weights == first.weights
    assert second.card.origin.startswith(f"hf://org/name@{commit} ({first.digest}): random weights")
    hub.commit("org/timm", {"model.safetensors": weights.read_bytes(), "pytorch_model.bin": b"pickle"})
    of_file = initial_checkpoint("hf://org/timm@main/model.safetensors", SMALL, height=32, width=64)
    assert of_file.weights == initial_checkpoint(str(weights), SMALL, height=32, width=64).weights
    with pytest.raises(UsageError, match=r"pytorch_model\.bin is a pickle, which can run code of others"):
        initial_checkpoint("hf://org/timm@main/pytorch_model.bin", SMALL)


def test_none_gives_seeded_random_weights(tmp_path: Path) -> None:
    assert initial_checkpoint("none", SMALL, height=32, width=32, seed=1) == initialise(
        SMALL, height=32, width=32, seed=1
    )
    save_checkpoint(initial_checkpoint("none", SMALL, height=32, width=32), str(tmp_path))
    assert load_checkpoint(str(tmp_path)).card.input.height == 32


@pytest.mark.parametrize(
    ("init", "backbone", "words"),
    [
        ("weights.safetensors", "resnet50", "are not the weights of a resnet50"),
        ("damaged.safetensors", SMALL, "are not the weights of a test_resnet"),
        ("gone.safetensors", SMALL, "gone.safetensors cannot be read: No such file"),
        ("pickle.pth", SMALL, "is a pickle, which can run code of others"),
        ("nothing", SMALL, "is neither imagenet, none, a .safetensors file nor a folder"),
        ("none", "resnet51", "'resnet51' is not a timm model"),
    ],
)
def test_unusable_weights_are_refused(weights: Path, init: str, backbone: str, words: str) -> None:
    (weights.parent / "damaged.safetensors").write_bytes(weights.read_bytes()[:1000])
    source = init if init == "none" else str(weights.parent / init)
    with pytest.raises(UsageError, match=words):
        initial_checkpoint(source, backbone, height=32, width=32)


def test_imagenet_weights_without_a_network_raise_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"--init imagenet: timm's weights of .* cannot be downloaded .*; connect to"):
        initial_checkpoint("imagenet", SMALL, height=32, width=32)


def test_the_head_starts_with_zero_logits(weights: Path) -> None:
    checkpoint = initial_checkpoint(str(weights), SMALL, height=32, width=32)
    assert np.allclose(load_model(checkpoint)(torch.rand(2, 3, 32, 32)).detach().numpy(), 0)
