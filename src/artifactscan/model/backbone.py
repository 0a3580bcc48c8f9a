"""timm backbones with a head of four logits: built with random weights, or loaded from a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import safetensors.torch
import timm
import torch
from torch import nn
from torch.nn import functional

from artifactscan.decode.input_spec import RESIZE_KERNELS, InputSpec
from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.probe import ProbeModel
from artifactscan.model.probe_windows import FeatureHead

PROBE_FRAMES = 8
LOGIT_STD = 0.5
"""Standard deviation of the logits that a checkpoint from ``initialise`` gives for the probe frames."""
_PROBE_SEED = 2504


def build_model(card: Card) -> nn.Module:
    """The model of ``card`` with random weights, on the CPU, in evaluation mode: a timm model, or a ProbeModel.

    UsageError for a name that timm does not know, an input size the backbone cannot take, a head that is not one
    linear layer, and a probe of blocks or tokens that the backbone does not have.
    """
    if not timm.is_model(card.backbone):
        close = timm.list_models(f"{card.backbone.split('_')[0]}*")[:5]
        hint = f"; near it are {', '.join(close)}" if close else ""
        raise UsageError(f"backbone {card.backbone!r} is not a timm model{hint}")
    rows, columns = card.probe.tiles if card.probe else (1, 1)
    if card.input.height % rows or card.input.width % columns:
        raise UsageError(
            f"frames of {card.input.height}x{card.input.width} cannot be cut into {rows}x{columns} equal tiles; "
            "give a height and width that are multiples of them"
        )
    height, width = card.input.height // rows, card.input.width // columns
    # Transformers have an embedding per position, so their size is fixed; the others take any.
    size: dict[str, Any] = {"img_size": (height, width)} if timm_config(card.backbone).fixed_input_size else {}
    classes = 0 if card.probe else len(card.labels)
    try:
        model = timm.create_model(card.backbone, pretrained=False, num_classes=classes, **size)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise UsageError(f"backbone {card.backbone} cannot take frames of {height}x{width} ({error})") from None
    if card.probe:
        return ProbeModel(model, card.probe, len(card.labels)).eval()
    if not isinstance(head(model), nn.Linear):
        raise UsageError(f"backbone {card.backbone} has no single linear head; choose another timm model")
    return model.eval()


def head(model: nn.Module) -> nn.Module:
    """The linear layer that turns pooled features into logits."""
    return model.head if isinstance(model, ProbeModel) else cast(Any, model).get_classifier()


def pooled_features(model: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """Float (n, features) of normalised float (n, 3, height, width): what the head, or a probe's windows, take."""
    if isinstance(model, ProbeModel):
        return model.features(frames)
    timm_model = cast(Any, model)
    return timm_model.forward_head(timm_model.forward_features(frames), pre_logits=True)


class FeatureExtractor(nn.Module):
    """uint8 RGB frames (n, height, width, 3) to the features that the head takes, float32 (n, features)."""

    def __init__(self, model: nn.Module, card: Card, *, device: str = "cpu", bf16: bool = False):
        """``device``: of the frames; ``bf16``: under autocast."""
        super().__init__()
        self.model, self.input = model, card.input
        self.device_type, self.bf16 = device, bf16

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = normalise(frames, self.input)
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.bf16):
            return pooled_features(self.model, pixels).float()


def feature_head(model: nn.Module, card: Card) -> FeatureHead:
    """What makes scores of the model's features."""
    linear = cast(nn.Linear, head(model))
    bias = linear.bias.numpy(force=True) if linear.bias is not None else np.zeros(linear.out_features)
    return FeatureHead(linear.weight.numpy(force=True), bias, card)


def calibration_tensors(card: Card) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset of the card's calibration, float32 (labels,) each."""
    calibration = [card.calibration[label] for label in card.labels]
    return torch.tensor([one.scale for one in calibration]), torch.tensor([one.offset for one in calibration])


def load_model(checkpoint: Checkpoint) -> nn.Module:
    """The backbone with the checkpoint's weights, on the CPU, in evaluation mode; UsageError where they do not fit."""
    weights = check_weights(checkpoint)
    with torch.device("meta"):
        model = build_model(checkpoint.card)
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    model.load_state_dict(weights, assign=True)
    if any(buffer.is_meta for buffer in model.buffers()):  # some buffers are computed when built, not saved
        model = build_model(checkpoint.card)
        model.load_state_dict(weights)
    return model.eval()


def check_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights; UsageError where names or shapes are not those of the card's backbone, or a value is not finite."""
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in build_model(checkpoint.card).state_dict().items()}
    found = checkpoint.tensor_shapes()
    backbone = checkpoint.card.backbone
    for name in sorted(expected.keys() ^ found.keys()):
        what = "lack" if name in expected else "have a surplus tensor"
        raise UsageError(f"checkpoint weights {what} {name}: they are not those of the card's backbone {backbone}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise UsageError(
                f"checkpoint tensor {name} has shape {list(found[name])}, the card's backbone {backbone} "
                f"needs {list(shape)}"
            )
    weights = safetensors.torch.load(checkpoint.weights)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UsageError(f"checkpoint tensor {name} holds values that are not numbers; train the checkpoint again")
    return weights


def initialise(backbone: str, *, height: int = 0, width: int = 0, seed: int = 0) -> Checkpoint:
    """A checkpoint with random weights from ``seed``; height and width in pixels, 0 for the backbone's default.

    Batch norms and head are fitted to the probe frames, so that scores spread over 0..1 as a trained model's do, and
    differences in precision or batching show in tests. UsageError as ``build_model``.
    """
    card = Card(
        backbone=backbone,
        input=default_input(backbone, height=height, width=width),
        origin=f"random weights from seed {seed}, timm {timm.__version__}, torch {torch.__version__}",
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _one_thread():
        torch.manual_seed(seed)
        model = build_model(card)
        frames = normalise(torch.from_numpy(probe_frames(card.input)), card.input)
        with _fitting_batch_norms(model):
            model(frames)
        logits = model(frames)
        linear = cast(nn.Linear, head(model))
        scale = LOGIT_STD / logits.std(dim=0).clamp_min(1e-3)
        linear.weight.mul_(scale[:, None])
        linear.bias.copy_((linear.bias - logits.mean(dim=0)) * scale)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return Checkpoint(card=card, weights=safetensors.torch.save(weights))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs torch on one thread: the last bits of sums, and with them a checkpoint's digest, depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def normalise(frames: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """uint8 (n, height, width, 3) to float32 (n, 3, height, width), channels last in memory."""
    mean = torch.tensor(spec.mean, device=frames.device) * 255
    std = torch.tensor(spec.std, device=frames.device) * 255
    return ((frames.float() - mean) / std).permute(0, 3, 1, 2)


def probe_frames(spec: InputSpec, count: int = PROBE_FRAMES) -> np.ndarray:
    """Synthetic frames of soft shapes, edges and grain: uint8 (count, height, width, 3), the same on every machine."""
    generator = torch.Generator().manual_seed(_PROBE_SEED)
    size = (spec.height, spec.width)
    soft = functional.interpolate(torch.rand(count, 3, 7, 11, generator=generator), size, mode="bilinear")
    hard = functional.interpolate(torch.rand(count, 3, 5, 6, generator=generator), size, mode="nearest")
    grain = torch.rand(count, 3, *size, generator=generator)
    # Each frame is a different mix, from nearly flat to nearly all grain, so that features differ widely.
    mix = torch.rand(3, count, 1, 1, 1, generator=generator) ** 3
    picture = (mix[0] * soft + mix[1] * hard + mix[2] * grain) / mix.sum(dim=0).clamp_min(0.5)
    return (picture * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def default_input(backbone: str, *, height: int = 0, width: int = 0) -> InputSpec:
    """The input that timm trained the backbone on; height and width in pixels replace its own where they are not 0.

    UsageError for a size over 4096.
    """
    if not timm.is_model(backbone):
        return InputSpec(height=height or 224, width=width or 224)  # build_model raises for it
    config = timm_config(backbone)
    _, own_height, own_width = config.input_size
    resize = config.interpolation if config.interpolation in RESIZE_KERNELS else "bicubic"
    try:
        return InputSpec(
            height=height or own_height, width=width or own_width, resize=resize, mean=config.mean, std=config.std
        )
    except ValueError as error:
        raise UsageError(f"backbone {backbone}: {error}") from None


def timm_config(backbone: str) -> Any:
    """timm's pretrained configuration of a model: input size, interpolation, mean, std."""
    return timm.get_pretrained_cfg(backbone)


@contextmanager
def _fitting_batch_norms(model: nn.Module) -> Iterator[None]:
    """Sets the statistics of batch norms to the plain average over the frames that pass through the model."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
