"""Where a checkpoint sees each label in a frame: Grad-CAM, by the grad-cam package.

Source: Selvaraju et al., Grad-CAM, arXiv 1610.02391. For convolutional backbones the map is taken at the features that
the head pools: with average pooling its values add up to the label's logit without the bias. The class token of a
transformer reads the patches in every block, so the map is the mean over the inputs of all blocks; the last block
alone, the usual choice, often misses what earlier blocks read (docs/experiments.md).

The map of a probe explains the logit of the frame as a clip of its own: how much the features change from frame to
frame, which the probe may see too, has no place in it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from artifactscan.errors import UsageError
from artifactscan.model.backbone import calibration_tensors, head, load_model, normalise
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.probe import ProbeModel, read_last_features


class NoHeatMapsError(UsageError):
    """The checkpoint can be scored with, but has no heat maps; the message says why."""


class HeatMapper:
    """A checkpoint ready to compute heat maps on one device, in fp32."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu"):
        """NoHeatMapsError where the backbone is neither convolutional nor a plain vision transformer.

        Likewise for probes that cut frames into tiles, or read blocks of a backbone that is not such a transformer.
        """
        self._input, self._device = checkpoint.card.input, device
        self.model = ExplainedModel(checkpoint).to(device)
        blank = np.zeros((1, self._input.height, self._input.width, 3), np.uint8)
        with torch.inference_mode():
            features = self.model.features(self._pixels(blank))
        layers, to_map = _layers(self.model, features, checkpoint.card.backbone)
        self._cam = GradCAM(self.model, layers, reshape_transform=to_map)

    def maps(self, frame: np.ndarray, labels: Sequence[int]) -> np.ndarray:
        """float32 (labels, height, width) for one frame, uint8 (height, width, 3) at the checkpoint's input size.

        ``labels``: indices in LABELS. Each map is stretched to 0 … 1, whatever its label's score; it is 0 all over
        where no place in the frame speaks for the label more than the others.
        """
        copies = self._pixels(frame[None]).expand(len(labels), -1, -1, -1)
        targets = [ClassifierOutputTarget(label) for label in labels]
        return np.asarray(self._cam(copies, cast(Any, targets)), np.float32)

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        return normalise(torch.from_numpy(frames.copy()).to(self._device), self._input)


class ExplainedModel(nn.Module):
    """The model of a checkpoint, with the features of its backbone as a module that Grad-CAM can hook.

    Normalised float (n, 3, height, width) to calibrated logits, float (n, labels), each frame a clip of its own.
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.model = load_model(checkpoint)
        self.backbone = self.model.backbone if isinstance(self.model, ProbeModel) else self.model
        self.features = _Features(self.backbone)
        scale, offset = calibration_tensors(checkpoint.card)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scale, offset = cast(torch.Tensor, self.scale), cast(torch.Tensor, self.offset)
        return self._logits(pixels) * scale + offset

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.model, ProbeModel):
            pooled = cast(Any, self.backbone).forward_head(self.features(pixels), pre_logits=True)
            return head(self.model)(pooled)
        if self.model.probe.blocks:
            return self.model(pixels)
        read = read_last_features(self.backbone, self.features(pixels), self.model.probe)
        return self.model.logits_alone(self.model.project(read))


class _Features(nn.Module):
    """The features that the head of a timm model pools."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast(Any, self.backbone).forward_features(pixels)


def _layers(
    model: ExplainedModel, features: torch.Tensor, name: str
) -> tuple[list[nn.Module], Callable[[torch.Tensor], torch.Tensor] | None]:
    """The modules whose outputs are mapped, and what lays these out as (n, channels, rows, columns) where needed."""
    backbone, probe = cast(Any, model.backbone), model.model.probe if isinstance(model.model, ProbeModel) else None
    if probe and probe.tile_count > 1:
        rows, columns = probe.tiles
        raise NoHeatMapsError(
            f"this probe of {name} has no heat maps: it cuts frames into {rows}x{columns} tiles; "
            "explain a checkpoint without tiles"
        )
    is_map = features.ndim == 4 and features.shape[1] == backbone.num_features
    if is_map and not (probe and probe.blocks):
        return [model.features], None
    rows, columns = getattr(getattr(backbone, "patch_embed", None), "grid_size", None) or (0, 0)
    prefix = getattr(backbone, "num_prefix_tokens", 0)
    if features.ndim == 3 and features.shape[1] == prefix + rows * columns:
        blocks = list(backbone.blocks)
        if all(hasattr(block, "norm1") for block in blocks):
            return [block.norm1 for block in blocks], partial(_tokens_to_map, grid=(rows, columns), prefix=prefix)
    if probe and probe.blocks:
        raise NoHeatMapsError(
            f"this probe of {name} has no heat maps: it reads blocks {', '.join(map(str, probe.blocks))} of a backbone "
            "that is not a plain vision transformer; explain a probe of its last feature map"
        )
    raise NoHeatMapsError(
        f"backbone {name} has no heat maps: its features of shape {list(features.shape[1:])} are neither those of a "
        "convolutional network nor the tokens of a plain vision transformer; explain a checkpoint of such a backbone"
    )


def _tokens_to_map(tokens: torch.Tensor, grid: tuple[int, int], prefix: int) -> torch.Tensor:
    """(n, tokens, channels) to (n, channels, rows, columns), without the ``prefix`` tokens such as the class token."""
    return tokens[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2)
