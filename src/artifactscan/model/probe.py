"""Probes: a linear head on the features of a frozen backbone, of a frame and of the sampled frames around it."""

from typing import Any, cast

import torch
from torch import nn

from artifactscan.errors import UsageError
from artifactscan.model.probe_spec import ProbeSpec


class ProbeModel(nn.Module):
    """A backbone, a projection of what is read of it (or none), and a head.

    Its tensors are named ``backbone.…``, ``projection.weight`` and ``.bias``, ``head.weight`` and ``.bias``.
    """

    def __init__(self, backbone: nn.Module, probe: ProbeSpec, labels: int):
        """``backbone``: a timm model without a head, which loses the blocks after the last one that is read.

        UsageError for blocks or tokens that the backbone does not have.
        """
        super().__init__()
        check_probe(backbone, probe)
        if probe.blocks:
            cast(Any, backbone).prune_intermediate_layers([probe.blocks[-1]], prune_norm=True, prune_head=True)
        self.backbone, self.probe = backbone, probe
        width = self._width()
        self.projection = nn.Linear(width, probe.components) if probe.components else nn.Identity()
        of_frame = (probe.components or width) * (2 if probe.tile_count > 1 else 1)
        self.head = nn.Linear(of_frame * (2 if probe.neighbours else 1), labels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Logits, float (n, labels), of normalised float (n, 3, height, width), each frame as a clip of its own."""
        return self.logits_alone(self.features(frames))

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """Features of each frame, float32 (n, features), of normalised float (n, 3, height, width)."""
        read = self.read(frames)
        with torch.autocast(read.device.type, enabled=False):  # the projection costs nothing, and rounding it would
            return self.project(read.float())

    def read(self, frames: torch.Tensor) -> torch.Tensor:
        """What the probe reads of the backbone, (n · tiles, width), of normalised float (n, 3, height, width)."""
        return read_tokens(self.backbone, split_tiles(frames, self.probe.tiles), self.probe)

    def project(self, read: torch.Tensor) -> torch.Tensor:
        """The features of each frame, (n, features), of what was read, (n · tiles, width)."""
        return pool_tiles(self.projection(scale_lengths(read, self.probe)), self.probe.tile_count)

    def logits_alone(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float (n, labels), of the features of frames, each a clip of its own, in which nothing changes.

        ``FeatureHead`` has those of longer clips.
        """
        return self.head(torch.cat([features, torch.zeros_like(features)], 1) if self.probe.neighbours else features)

    def _width(self) -> int:
        if self.probe.blocks:
            channels = [cast(Any, self.backbone).feature_info[block]["num_chs"] for block in self.probe.blocks]
            return sum(channels) * len(self.probe.tokens)
        pooled, per_patch = (int(getattr(self.backbone, name)) for name in ("head_hidden_size", "num_features"))
        return sum(pooled if token == "pooled" else per_patch for token in self.probe.tokens)


def check_probe(backbone: nn.Module, probe: ProbeSpec) -> None:
    """UsageError for blocks or tokens that a timm model does not have."""
    model = cast(Any, backbone)
    if "class" in probe.tokens and not _has_class_token(backbone):
        raise UsageError("this backbone has no class token; read mean, std or max")
    if not probe.blocks:
        return
    if not hasattr(model, "forward_intermediates"):
        raise UsageError("this backbone does not show its blocks; probe it without --blocks, or choose another")
    count = len(model.feature_info)
    if probe.blocks[-1] >= count:
        raise UsageError(f"probe block {probe.blocks[-1]} does not exist: the backbone has {count}, 0 to {count - 1}")


def read_tokens(backbone: nn.Module, frames: torch.Tensor, probe: ProbeSpec) -> torch.Tensor:
    """The probe's tokens of its outputs side by side: float32 (n, width) of normalised float (n, 3, height, width)."""
    model = cast(Any, backbone)
    if not probe.blocks:
        return read_last_features(backbone, model.forward_features(frames), probe)
    options: dict[str, Any] = {"return_prefix_tokens": True} if _has_class_token(backbone) else {}
    outputs = model.forward_intermediates(
        frames, indices=list(probe.blocks), stop_early=True, intermediates_only=True, **options
    )
    read = []
    for output in outputs:
        patches, prefix = output if isinstance(output, tuple) else (output, None)
        parts = _tokens(patches.flatten(2), prefix, probe)
        read += [parts[token].float() for token in probe.tokens]
    return torch.cat(read, dim=1)


def read_last_features(backbone: nn.Module, features: torch.Tensor, probe: ProbeSpec) -> torch.Tensor:
    """The tokens of a probe without blocks: float32 (n, width) of the backbone's last features, as the head pools."""
    parts = _tokens(*_patches(backbone, features), probe)
    if "pooled" in probe.tokens:
        parts["pooled"] = cast(Any, backbone).forward_head(features, pre_logits=True)
    return torch.cat([parts[token].float() for token in probe.tokens], dim=1)


def _tokens(patches: torch.Tensor, prefix: torch.Tensor | None, probe: ProbeSpec) -> dict[str, torch.Tensor]:
    """Token → (n, channels), of patches (n, channels, patches) and prefix tokens (n, tokens, channels)."""
    if set(probe.tokens) == {"pooled"}:
        return {}
    patches = patches.float()
    std, mean = torch.std_mean(patches, dim=2)
    parts = {"mean": mean, "std": std, "max": patches.amax(dim=2)}
    return parts if prefix is None else {**parts, "class": prefix[:, 0]}


def _patches(backbone: nn.Module, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Patches (n, channels, patches) and prefix tokens (n, tokens, channels) of what a timm model pools."""
    if features.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        return features[:, prefix:].transpose(1, 2), features[:, :prefix] if prefix else None
    if features.shape[1] != cast(Any, backbone).num_features:  # (n, height, width, channels)
        features = features.permute(0, 3, 1, 2)
    return features.flatten(2), None


def split_tiles(frames: torch.Tensor, tiles: tuple[int, int]) -> torch.Tensor:
    """(n, 3, height, width) to (n · rows · columns, 3, height / rows, width / columns), a frame's tiles by row."""
    if tiles == (1, 1):
        return frames
    rows, columns = tiles
    count, channels, height, width = frames.shape
    cut = frames.reshape(count, channels, rows, height // rows, columns, width // columns)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // rows, width // columns)


def scale_lengths(read: torch.Tensor, probe: ProbeSpec) -> torch.Tensor:
    """(n, width), each row of length 1 where the probe asks for that."""
    return torch.nn.functional.normalize(read, dim=1) if probe.unit_length else read


def pool_tiles(projected: torch.Tensor, tiles: int) -> torch.Tensor:
    """(n · tiles, width) to (n, 2 · width): the mean and the maximum over the tiles of a frame, where it is cut."""
    if tiles == 1:
        return projected
    of_frame = projected.unflatten(0, (-1, tiles))
    return torch.cat([of_frame.mean(dim=1), of_frame.amax(dim=1)], dim=1)


def _has_class_token(backbone: nn.Module) -> bool:
    return getattr(backbone, "cls_token", None) is not None
