"""The weights that training starts from: timm's, those of a file or of another checkpoint, or random ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import nn

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.messages.text import printable
from artifactscan.model.backbone import build_model, check_weights, default_input, head, initialise, timm_config
from artifactscan.model.checkpoint import BUILTIN, CARD_NAME, Card, Checkpoint, load_checkpoint
from artifactscan.storage import hub, storage_errors
from artifactscan.training.probe_checkpoint import without_probe

IMAGENET, NONE = "imagenet", "none"


def initial_checkpoint(
    init: str, backbone: str, *, height: int = 0, width: int = 0, seed: int = 0, keep_probe: bool = False
) -> Checkpoint:
    """The checkpoint that training starts from.

    ``init``: ``imagenet`` for timm's own weights, ``none`` for random ones from ``seed``, a .safetensors file with
    timm's names, or a checkpoint folder, both local, s3:// or hf://. Height and width in pixels, 0 for the backbone's
    own or that of the checkpoint. UsageError for weights that cannot be read or downloaded or are not this backbone's,
    and as artifactscan.model.backbone.build_model.
    """
    if init == NONE:
        return initialise(backbone, height=height, width=width, seed=seed)
    card = Card(backbone=backbone, input=default_input(backbone, height=height, width=width))
    with torch.device("meta"):
        build_model(card)  # checks the settings before anything is read or downloaded
    if init != IMAGENET and not init.endswith((".safetensors", ".bin", ".pth")):
        return _from_checkpoint(init, backbone, height=height, width=width, keep_probe=keep_probe)
    card = replace(card, origin=_describe_origin(init, backbone))
    model = _timm_pretrained(card) if init == IMAGENET else _from_file(card, init)
    return _to_checkpoint(card, model)


def _from_checkpoint(folder: str, backbone: str, *, height: int, width: int, keep_probe: bool) -> Checkpoint:
    """Another checkpoint's weights, without its thresholds and calibration."""
    elsewhere = folder == BUILTIN or storage.is_hub(folder)
    if not elsewhere and not storage.exists(storage.join(storage.normalise(folder), CARD_NAME)):
        raise UsageError(
            f"--init {folder} is neither imagenet, none, a .safetensors file nor a folder with a {CARD_NAME}; "
            "give one of them"
        )
    loaded = load_checkpoint(folder)
    if loaded.card.backbone != backbone:
        raise UsageError(f"--init {folder} holds a {loaded.card.backbone}, not a {backbone}; give its --backbone")
    spec = replace(loaded.card.input, height=height or loaded.card.input.height, width=width or loaded.card.input.width)
    card = Card(
        backbone=backbone,
        input=spec,
        origin=f"{folder} ({loaded.digest}): {loaded.card.origin}",
        trained_on=loaded.card.trained_on,
        probe=loaded.card.probe,
    )
    checkpoint = Checkpoint(card=card, weights=loaded.weights)
    check_weights(checkpoint)
    return checkpoint if keep_probe or card.probe is None else without_probe(checkpoint, folder)


def _timm_pretrained(card: Card) -> nn.Module:
    if not timm.is_model_pretrained(card.backbone):
        raise UsageError(f"timm has no pretrained weights for {card.backbone}; give --init none or a file")
    try:
        return _create(card)
    except Exception as error:  # hub, proxy and socket each raise their own type
        reason = printable(" ".join(str(error).split()), 160)
        raise UsageError(
            f"--init imagenet: timm's weights of {card.backbone} cannot be downloaded ({reason}); "
            "connect to huggingface.co, or give --init a .safetensors file of them"
        ) from None


def _from_file(card: Card, init: str) -> nn.Module:
    if not init.endswith(".safetensors"):
        raise UsageError(f"--init {init} is a pickle, which can run code of others; convert it to .safetensors")
    uri = hub.fetch_file(init, "model") if storage.is_hub(init) else storage.normalise(init)
    try:
        data = storage.read_bytes(uri)
    except OSError as error:
        raise UsageError(f"--init {init} cannot be read: {storage_errors.describe(error, uri)}") from None
    with temporary_folder() as folder:
        path = Path(folder, "weights.safetensors")
        path.write_bytes(data)
        try:
            return _create(card, file=str(path))
        except Exception as error:  # each of timm's model families raises its own type
            reason = printable(" ".join(str(error).split()), 160)
            raise UsageError(f"--init {init} are not the weights of a {card.backbone}: {reason}") from None


def _create(card: Card, **source: Any) -> nn.Module:
    """Loads through timm, which resizes position embeddings and drops a head with other classes."""
    options: dict[str, Any] = {}
    if timm_config(card.backbone).fixed_input_size:
        options["img_size"] = (card.input.height, card.input.width)
    if source:
        options["pretrained_cfg_overlay"] = {**source, "custom_load": False}
    model = timm.create_model(card.backbone, pretrained=True, num_classes=len(LABELS), **options)
    # A random head would send large gradients into the pretrained features in the first updates.
    for parameter in head(model).parameters():
        nn.init.zeros_(parameter)
    return model


def _to_checkpoint(card: Card, model: nn.Module) -> Checkpoint:
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    checkpoint = Checkpoint(card=card, weights=safetensors.torch.save(weights))
    check_weights(checkpoint)
    return checkpoint


def _describe_origin(init: str, backbone: str) -> str:
    if init == IMAGENET:
        tag = timm_config(backbone).tag
        return f"timm {timm.__version__} weights {backbone}{f'.{tag}' if tag else ''}"
    return f"weights {init if storage.is_hub(init) else init.rsplit('/', 1)[-1]}"
