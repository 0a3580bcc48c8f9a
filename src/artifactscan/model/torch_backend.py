"""Runs a checkpoint's backbone with torch, on a GPU or the CPU."""

import copy
import logging
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from artifactscan.model.backbone import FeatureExtractor, feature_head, load_model, normalise, probe_frames
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE, ClassifySettings
from artifactscan.model.cpu import has_fast_bf16
from artifactscan.model.device import check_gpu
from artifactscan.model.malloc import keep_freed_memory

MAX_FOLDING_CHANGE = 1e-3
"""Batch norms are not folded where folding moves a logit by more: the model uses their input elsewhere too."""
_CPU_OUT_OF_MEMORY = ("DefaultCPUAllocator", "could not create a memory object", "could not create a primitive")
"""Messages of torch and oneDNN, which raise plain RuntimeErrors on a CPU."""
_SIZES_PER_BATCH = 4
"""Sizes that batches are padded to on a GPU, for each of which cuDNN tunes its kernels."""
_log = logging.getLogger(__name__)


class TorchBackend:
    """A checkpoint's backbone on one device; see Backend."""

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings, *, threads: int = 0):
        """UsageError for weights that do not fit the card, and for device "cuda" without a GPU."""
        if threads:
            torch.set_num_threads(threads)
        self.notes: list[str] = []
        self.device = choose_device(settings)
        if self.device == "cpu":
            keep_freed_memory()
        else:
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = False  # TF32 has only 10 bits of mantissa, which is not fp32
        # A compiled model takes one batch size.
        self._sizes_per_batch = 1 if settings.compile else _SIZES_PER_BATCH if self.device == "cuda" else 0
        model = load_model(checkpoint)
        self.head = feature_head(model, checkpoint.card)
        probe = probe_frames(checkpoint.card.input)
        model = _fold_batch_norms(model, normalise(torch.from_numpy(probe[:1]), checkpoint.card.input))
        self._extractor = self._prepare(FeatureExtractor(model, checkpoint.card, device=self.device), settings)
        self.precision = "fp32"
        if settings.precision == "bf16" or (settings.precision == "auto" and _has_bf16(self.device)):
            self._try_bf16(model, checkpoint.card, settings, probe)

    def extract(self, batch: np.ndarray, most: int) -> torch.Tensor:
        """The features of a batch, float32 (n, features), still on the device; MemoryError where it has no room."""
        try:
            with torch.inference_mode():
                return self._extractor(self._to_device(batch, most))[: len(batch)]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            reason = str(error)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        raise MemoryError(reason)

    def collect(self, parts: list[torch.Tensor]) -> np.ndarray:
        """Results of ``extract`` one after the other."""
        return torch.cat(parts).cpu().numpy()

    def padded(self, frames: int, most: int) -> int:
        """The size that a batch of ``frames`` is padded to, so that few different sizes are run."""
        if not self._sizes_per_batch:
            return frames
        step = -(-most // self._sizes_per_batch)
        return min(most, -(-frames // step) * step)

    def _to_device(self, batch: np.ndarray, most: int) -> torch.Tensor:
        if missing := self.padded(len(batch), most) - len(batch):
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)])
        # torch takes no read-only memory, which views of Ray's blocks are.
        frames = torch.from_numpy(batch if batch.flags.writeable else batch.copy())
        if self.device == "cpu":
            return frames
        # From pinned memory the copy overlaps with gathering the next batch; torch keeps the pages until it is done.
        return frames.pin_memory().to(self.device, non_blocking=True)

    def _prepare(self, extractor: FeatureExtractor, settings: ClassifySettings) -> Any:
        extractor.to(device=self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not settings.compile:
            return extractor
        # Freezing makes the weights constants; on a GPU it gains nothing and keeps a second copy.
        return torch.compile(extractor, options={"freezing": self.device == "cpu"})

    def _try_bf16(self, model: nn.Module, card: Card, settings: ClassifySettings, probe: np.ndarray) -> None:
        """Switches to bf16, and back with precision auto where that moves a score too much."""
        exact, scores = self._extractor, self._scores(probe)
        self._extractor = self._prepare(FeatureExtractor(model, card, device=self.device, bf16=True), settings)
        self.precision = "bf16"
        change = float(np.abs(self._scores(probe) - scores).max())
        if settings.precision == "auto" and not change < MAX_SCORE_CHANGE:  # NaN is no small change
            self._extractor, self.precision = exact, "fp32"
            self.notes.append(f"fp32, not bf16, which moves a score of the probe frames by up to {change:.3f}")
        else:
            self.notes.append(f"bf16, which moves a score of the probe frames by up to {change:.4f}")

    def _scores(self, frames: np.ndarray) -> np.ndarray:
        return self.head.scores(self.collect([self.extract(frames, len(frames))]), [len(frames)])


def choose_device(settings: ClassifySettings) -> str:
    """``cuda`` or ``cpu`` for a device ``auto``, ``cuda`` or ``cpu``, by what torch finds in this process.

    UsageError for ``cuda`` without a GPU.
    """
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if settings.device == "cuda":
        check_gpu(settings.asked)
    return settings.device


def _has_bf16(device: str) -> bool:
    """Whether the hardware computes faster in bf16."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else has_fast_bf16()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _CPU_OUT_OF_MEMORY)


def _fold_batch_norms(model: nn.Module, probe: torch.Tensor) -> nn.Module:
    """``model`` with each batch norm folded into the convolution before it, or unchanged where that moves the logits.

    ``probe``: float (n, 3, height, width), from which the pairs of layers are found and the logits compared.
    """
    folded = copy.deepcopy(model)
    logits, pairs = _find_conv_norm_pairs(folded, probe)
    for conv_name, norm_name in pairs:
        conv = cast(nn.Conv2d, folded.get_submodule(conv_name))
        norm = cast(nn.BatchNorm2d, folded.get_submodule(norm_name))
        folded.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        # timm's batch norms also apply the dropout and activation that follow.
        rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
        folded.set_submodule(norm_name, nn.Sequential(*rest))
    with torch.inference_mode():
        change = float((folded(probe) - logits).abs().max())
    if not change <= MAX_FOLDING_CHANGE:
        _log.info("batch norms are not folded: that moves a logit by %.3g", change)
        return model
    return folded


def _find_conv_norm_pairs(model: nn.Module, probe: torch.Tensor) -> tuple[torch.Tensor, list[tuple[str, str]]]:
    """The logits of ``probe``, and the names of each convolution and of the batch norm that takes its output."""
    conv_by_output: dict[int, str] = {}
    outputs: list[torch.Tensor] = []  # kept alive, so that no id is used twice
    pairs: list[tuple[str, str]] = []
    hooks = []
    for name, module in model.named_modules():
        if type(module) is nn.Conv2d:

            def after_conv(_module, _inputs, output, name=name) -> None:
                conv_by_output[id(output)] = name
                outputs.append(output)

            hooks.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d):

            def before_norm(_module, inputs, name=name) -> None:
                if (conv := conv_by_output.get(id(inputs[0]))) is not None:
                    pairs.append((conv, name))

            hooks.append(module.register_forward_pre_hook(before_norm))
    with torch.inference_mode():
        logits = model(probe)
    for hook in hooks:
        hook.remove()
    return logits, pairs
