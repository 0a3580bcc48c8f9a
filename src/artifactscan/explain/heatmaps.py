"""Where a checkpoint sees each label in a frame: Grad-CAM, by the grad-cam package.

Source: Selvaraju et al., Grad-CAM, arXiv 1610.02391. For convolutional backbones the map is taken at the features that
the head pools, so that with average pooling its values add up to the label's logit but for the bias. A transformer's
class token reads the places of the frame anew in every block, so the map is the mean of those at what each block reads;
the last block's alone, the usual choice, often misses what was read before (docs/experiments.md).
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from torch import nn

from artifactscan.errors import UsageError
from artifactscan.model.backbone import head, load_model, normalise
from artifactscan.model.checkpoint import Checkpoint


class HeatMapper:
    """A checkpoint ready to draw heat maps on one device, in fp32."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu"):
        """UsageError for a backbone that is neither convolutional nor a plain transformer."""
        self._input, self._device = checkpoint.card.input, device
        self.model = ExplainedModel(checkpoint).to(device)
        blank = np.zeros((1, self._input.height, self._input.width, 3), np.uint8)
        with torch.inference_mode():
            features = self.model.features(self._pixels(blank))
        layers, tokens = _layers(self.model, features, checkpoint.card.backbone)
        self._cam = GradCAM(self.model, layers, reshape_transform=tokens)

    def maps(self, frame: np.ndarray, labels: Sequence[int]) -> np.ndarray:
        """float32 (labels, height, width) from 0 to 1 for one frame, uint8 (height, width, 3) of the card's input.

        ``labels``: indices in LABELS. Each map is stretched from 0 to 1, whatever its label's score; it is 0
        all over where no place in the frame speaks for the label more than the others.
        """
        copies = self._pixels(frame[None]).expand(len(labels), -1, -1, -1)
        targets = [_LabelLogit(label) for label in labels]
        return np.asarray(self._cam(copies, cast(Any, targets)), np.float32)

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        return normalise(torch.from_numpy(frames.copy()).to(self._device), self._input)


class ExplainedModel(nn.Module):
    """The backbone of a checkpoint with its features as a module of their own.

    Normalised float (frames, 3, height, width) to calibrated logits, float (frames, labels).
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.backbone = load_model(checkpoint)
        self.features = _Features(self.backbone)
        calibration = [checkpoint.card.calibration[label] for label in checkpoint.card.labels]
        self.register_buffer("scale", torch.tensor([one.scale for one in calibration]))
        self.register_buffer("offset", torch.tensor([one.offset for one in calibration]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.features(pixels)
        pooled = cast(Any, self.backbone).forward_head(features, pre_logits=True)
        return head(self.backbone)(pooled) * self.scale + self.offset


class _Features(nn.Module):
    """What the head of a timm model pools."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast(Any, self.backbone).forward_features(pixels)


class _LabelLogit:
    """Picks one label's logit out of a frame's."""

    def __init__(self, label: int):
        self.label = label

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[self.label]


class _Tokens:
    """Lays a transformer's tokens (frames, tokens, channels) out as (frames, channels, rows, columns)."""

    def __init__(self, grid: tuple[int, int], prefix: int):
        """``grid``: rows and columns of patches; ``prefix``: tokens before them that stand for no place."""
        self.grid, self.prefix = grid, prefix

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, self.prefix :].unflatten(1, self.grid).permute(0, 3, 1, 2)


def _layers(model: ExplainedModel, features: torch.Tensor, name: str) -> tuple[list[nn.Module], _Tokens | None]:
    """The modules whose outputs are mapped, and how those are laid out where they are not pictures already."""
    backbone = cast(Any, model.backbone)
    if features.ndim == 4 and features.shape[1] == backbone.num_features:
        return [model.features], None
    rows, columns = getattr(getattr(backbone, "patch_embed", None), "grid_size", None) or (0, 0)
    prefix = getattr(backbone, "num_prefix_tokens", 0)
    if features.ndim == 3 and features.shape[1] == prefix + rows * columns:
        blocks = list(backbone.blocks)
        if all(hasattr(block, "norm1") for block in blocks):
            return [block.norm1 for block in blocks], _Tokens((rows, columns), prefix)
    raise UsageError(
        f"backbone {name} has no heat maps: its features of shape {list(features.shape[1:])} are neither those of a "
        "convolutional network nor the tokens of a plain vision transformer; explain a checkpoint of such a backbone"
    )
