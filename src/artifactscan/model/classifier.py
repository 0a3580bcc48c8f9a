"""Scores frames with a checkpoint, in batches across videos: one probability per frame and label."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.backbone import (
    calibration_tensors,
    head,
    load_model,
    normalise,
    pooled_features,
    probe_frames,
)
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.model.device import check_gpu
from artifactscan.model.malloc import keep_freed_memory
from artifactscan.model.probe import ProbeModel

BATCH_FRAMES = {"cuda": 128, "cpu": 16}
"""Default frames per forward pass: a GPU needs many to be busy; few fit into the caches of a CPU."""
MAX_SCORE_CHANGE = 0.01
"""Precision auto falls back to fp32 where bf16 moves a score of the probe frames by this much or more."""

MAX_FOLDING_CHANGE = 1e-3
"""Batch norms are not folded where folding moves a logit by more: the model uses their input elsewhere too."""
_BF16_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
_CPU_OUT_OF_MEMORY = ("DefaultCPUAllocator", "could not create a memory object", "could not create a primitive")
"""Messages of torch and oneDNN, which raise plain RuntimeErrors on a CPU."""
_log = logging.getLogger(__name__)


class Classifier:
    """A checkpoint ready to score frames on one device.

    ``device``: "cuda" or "cpu"; ``precision``: "bf16" or "fp32"; ``batch_frames``: frames per forward pass;
    ``input``: the checkpoint's InputSpec; ``notes``: one sentence for each of these that was chosen or changed here.
    """

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings | None = None, *, threads: int = 0):
        """Loads the weights and chooses device and precision, in seconds.

        ``settings``: how to run it; None for the defaults. ``threads``: CPU threads of torch; 0 leaves torch's choice.
        UsageError for weights that do not fit the card, and for device "cuda" without a GPU.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise UsageError(f"checkpoint is {checkpoint!r}; give what load_checkpoint returns")
        if not isinstance(settings, ClassifySettings | None):
            raise UsageError(f"settings are {settings!r}; give ClassifySettings or None")
        settings = settings or ClassifySettings()
        if threads:
            torch.set_num_threads(threads)
        self.notes: list[str] = []
        self.device = choose_device(settings)
        if self.device == "cpu":
            keep_freed_memory()
        else:
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = False  # TF32 has only 10 bits of mantissa, which is not fp32
        self.input = checkpoint.card.input
        self.batch_frames = settings.batch_frames or BATCH_FRAMES[self.device]
        self._backbone = checkpoint.card.backbone
        probe = probe_frames(self.input)
        model = _fold_batch_norms(load_model(checkpoint), normalise(torch.from_numpy(probe[:1]), self.input))
        self._scorer = self._prepare(_Scorer(model, checkpoint.card, self.device, bf16=False), settings)
        self._windows = _WindowScorer(model, checkpoint.card).to(self.device) if _sees_neighbours(model) else None
        self.precision = "fp32"
        # A compiled model takes one batch size, and cuDNN tunes its kernels anew for each size.
        self._sizes_per_batch = 1 if settings.compile else 4 if self.device == "cuda" else 0
        if settings.precision == "bf16" or (settings.precision == "auto" and _has_bf16(self.device)):
            self._try_bf16(model, checkpoint.card, settings, probe)

    def __repr__(self) -> str:
        size = f"{self.input.height}x{self.input.width} pixels"
        return f"Classifier({self._backbone}, {size}, {self.device}, {self.precision}, batches of {self.batch_frames})"

    def scores(self, frames: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The probability of each label for each frame: float32 (n, 4) from 0 to 1, columns in the order of LABELS.

        ``frames``: uint8 RGB (n, height, width, 3) at the checkpoint's input size, pixels; or a sequence of such
        arrays, one per clip, whose frames are batched together and scored in order. A checkpoint whose card names
        neighbours takes the frames of an array for consecutive sampled frames. A batch that does not fit into memory is
        halved, for all later ones too.

        UsageError for frames of another type or shape, and where the model's scores are not finite; MemoryError where
        not even one frame fits into memory.
        """
        clips: Sequence[Any] = frames if isinstance(frames, list | tuple) else [frames]
        shape = (self.input.height, self.input.width, 3)
        for clip in clips:
            if not isinstance(clip, np.ndarray):
                raise UsageError(f"frames are {type(clip).__name__}; give arrays, as sample_frames(…).frames is one")
            if clip.ndim != 4 or clip.shape[1:] != shape or clip.dtype != np.uint8:
                wanted = ", ".join(map(str, shape))
                raise UsageError(
                    f"frames are {clip.dtype} of shape {clip.shape}; give uint8 RGB of shape (n, {wanted}), which is "
                    "the checkpoint's input"
                )
        results: list[torch.Tensor] = []
        with torch.inference_mode():
            for batch in _batches(clips, lambda: self.batch_frames):
                results += self._forward(batch)
            scores = self._finish(results, [len(clip) for clip in clips])
        if not np.isfinite(scores).all():
            raise UsageError(
                f"the checkpoint gives scores that are not numbers, in {self.precision}; "
                "try --precision fp32, or train it again"
            )
        return scores

    def _finish(self, results: list[torch.Tensor], lengths: list[int]) -> np.ndarray:
        """Scores, float32 (n, labels), from what the batches of clips of ``lengths`` frames gave."""
        if not results:
            return np.empty((0, len(LABELS)), np.float32)
        scores = torch.cat(results)
        return (self._windows(scores, lengths) if self._windows else scores).cpu().numpy()

    def _forward(self, batch: np.ndarray) -> list[torch.Tensor]:
        """The scorer's output for a batch, still on the device: in one piece, or in smaller ones if it does not fit."""
        try:
            return [self._scorer(self._to_device(batch))[: len(batch)]]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            self._halve(len(batch), error)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        size = self.batch_frames
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return [scores for piece in pieces for scores in self._forward(piece)]

    def _halve(self, frames: int, error: RuntimeError) -> None:
        tried = self._padded(frames)
        if tried == 1:
            raise MemoryError(f"not even one frame fits into the memory of the {self.device}: {error}") from error
        self.batch_frames = tried // 2
        self.notes.append(f"out of memory with {tried} frames per batch: went on with {self.batch_frames}")
        _log.warning(self.notes[-1])

    def _padded(self, frames: int) -> int:
        """The size that a batch of ``frames`` is padded to, so that few different sizes are run."""
        if not self._sizes_per_batch:
            return frames
        step = -(-self.batch_frames // self._sizes_per_batch)
        return min(self.batch_frames, -(-frames // step) * step)

    def _to_device(self, batch: np.ndarray) -> torch.Tensor:
        if missing := self._padded(len(batch)) - len(batch):
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)])
        # torch takes no read-only memory, which views of Ray's blocks are.
        frames = torch.from_numpy(batch if batch.flags.writeable else batch.copy())
        if self.device == "cpu":
            return frames
        # From pinned memory the copy overlaps with gathering the next batch; torch keeps the pages until it is done.
        return frames.pin_memory().to(self.device, non_blocking=True)

    def _prepare(self, scorer: "_Scorer", settings: ClassifySettings) -> Callable[[torch.Tensor], torch.Tensor]:
        scorer.to(device=self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not settings.compile:
            return scorer
        # Freezing makes the weights constants; on a GPU it gains nothing and keeps a second copy.
        return torch.compile(scorer, options={"freezing": self.device == "cpu"})

    def _try_bf16(self, model: nn.Module, card: Card, settings: ClassifySettings, probe: np.ndarray) -> None:
        """Switches to bf16, and back with precision auto where that moves a score too much."""
        exact, scores = self._scorer, self.scores(probe)
        self._scorer = self._prepare(_Scorer(model, card, self.device, bf16=True), settings)
        self.precision = "bf16"
        change = float(np.abs(self.scores(probe) - scores).max())
        if settings.precision == "auto" and change >= MAX_SCORE_CHANGE:
            self._scorer, self.precision = exact, "fp32"
            self.notes.append(f"fp32, not bf16, which moves a score of the probe frames by up to {change:.3f}")
        else:
            self.notes.append(f"bf16, which moves a score of the probe frames by up to {change:.4f}")


class _Scorer(nn.Module):
    """uint8 frames (n, height, width, 3) to calibrated probabilities, float32 (n, labels).

    For a probe that sees neighbours: to the features of each frame, of which a _WindowScorer makes probabilities.
    """

    def __init__(self, model: nn.Module, card: Card, device: str, *, bf16: bool):
        super().__init__()
        self.model = model
        self.head = head(model)
        self.input, self.device_type, self.bf16 = card.input, device, bf16
        scale, offset = calibration_tensors(card)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)
        self.features_only = _sees_neighbours(model)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = normalise(frames, self.input)
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.bf16):
            features = pooled_features(self.model, pixels)
        if self.features_only:
            return features.float()
        # In fp32: the head costs nothing, and rounding its logits to bf16 would move scores more than all the rest.
        return torch.sigmoid(self.head(features.float()) * self.scale + self.offset)


class _WindowScorer(nn.Module):
    """Features of clips one after the other to calibrated probabilities, float32 (n, labels)."""

    def __init__(self, model: nn.Module, card: Card):
        super().__init__()
        self.model = cast(ProbeModel, model)
        scale, offset = calibration_tensors(card)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, features: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        scale, offset = cast(torch.Tensor, self.scale), cast(torch.Tensor, self.offset)
        return torch.sigmoid(self.model.logits(features, lengths) * scale + offset)


def _sees_neighbours(model: nn.Module) -> bool:
    return isinstance(model, ProbeModel) and model.probe.context_frames > 0


def choose_device(settings: ClassifySettings) -> str:
    """``cuda`` or ``cpu`` for a device ``auto``, ``cuda`` or ``cpu``, by what torch finds in this process.

    UsageError for ``cuda`` without a GPU.
    """
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if settings.device == "cuda":
        check_gpu(settings.asked)
    return settings.device


def _batches(clips: Sequence[np.ndarray], size: Callable[[], int]) -> Iterator[np.ndarray]:
    """The frames of all clips in batches of at most ``size()``, called before each; copies only across clips."""
    waiting: list[np.ndarray] = []
    for clip in clips:
        while len(clip):
            room = max(1, size() - sum(map(len, waiting)))
            waiting.append(clip[:room])
            clip = clip[room:]
            if sum(map(len, waiting)) >= size():
                yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                waiting = []
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16 natively rather than by emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(flag) for flag in _BF16_CPU_FLAGS)


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
