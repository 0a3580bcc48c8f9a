"""Runs a checkpoint over frames: batches across videos in, one probability per label and frame out."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.backbone import head, load, normalise, pooled_features, probe_frames
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.model.memory import keep_freed_memory

BATCH_FRAMES = {"cuda": 128, "cpu": 16}
"""Frames per forward pass where none are asked for: a GPU needs many to be busy, a CPU's caches like few."""
MAX_SCORE_CHANGE = 0.01
"""bf16 is not chosen by itself where it moves a score of the probe frames by this much."""

MAX_FOLDING_CHANGE = 1e-3
"""Batch norms stay where folding them moves a logit by more: the model uses their input elsewhere, too."""
_BF16_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "could not create a memory object", "could not create a primitive")
"""What torch and oneDNN say on a CPU."""
_log = logging.getLogger(__name__)


class Classifier:
    """A checkpoint ready to score frames on one device.

    ``device`` and ``precision`` are what it runs at, ``notes`` says in words what is otherwise than asked.
    """

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings, *, threads: int = 0):
        """``threads``: CPU threads to use; 0 leaves torch's own choice."""
        if threads:
            torch.set_num_threads(threads)
        self.notes: list[str] = []
        self.device = _device(settings.device)
        if self.device == "cpu":
            keep_freed_memory()
        self.input = checkpoint.card.input
        self.batch_frames = settings.batch_frames or BATCH_FRAMES[self.device]
        probe = probe_frames(self.input)
        model = _with_folded_batch_norms(load(checkpoint), normalise(torch.from_numpy(probe[:1]), self.input))
        self._scorer = self._prepared(_Scorer(model, checkpoint.card, self.device, bf16=False), settings)
        self.precision = "fp32"
        # Compiled kernels belong to one batch size, and cuDNN looks for the best ones anew at each size.
        self._sizes_per_batch = 1 if settings.compile else 4 if self.device == "cuda" else 0
        if settings.precision == "bf16" or (settings.precision == "auto" and _has_bf16(self.device)):
            self._consider_bf16(model, checkpoint.card, settings, probe)

    def scores(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """float32 (frames, labels) in 0..1 for all frames of ``clips``, each uint8 (frames, height, width, 3).

        A batch that does not fit into memory is halved, for good; MemoryError where one frame does not fit.
        UsageError where the checkpoint's scores are not numbers.
        """
        frames_in_all = sum(len(clip) for clip in clips)
        if not frames_in_all:
            return np.empty((0, len(LABELS)), np.float32)
        results: list[torch.Tensor] = []
        with torch.inference_mode():
            for batch in _batches(clips, lambda: self.batch_frames):
                results += self._forward(batch)
            scores = torch.cat(results).cpu().numpy()
        if not np.isfinite(scores).all():
            raise UsageError(
                f"the checkpoint gives scores that are not numbers, in {self.precision}; "
                "try --precision fp32, or train it again"
            )
        return scores

    def _forward(self, batch: np.ndarray) -> list[torch.Tensor]:
        """Scores of one batch, still on the device: in one piece, or in halves where it does not fit."""
        try:
            return [self._scorer(self._to_device(batch))[: len(batch)]]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            self._halve(len(batch), error)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        size = self.batch_frames  # a piece that does not fit either makes it smaller still
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
        """The size at which a batch of ``frames`` is run: one of a few."""
        if not self._sizes_per_batch:
            return frames
        step = -(-self.batch_frames // self._sizes_per_batch)
        return min(self.batch_frames, -(-frames // step) * step)

    def _to_device(self, batch: np.ndarray) -> torch.Tensor:
        if missing := self._padded(len(batch)) - len(batch):
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)])
        # A copy where the batch is a view of a read-only block, which torch does not take.
        frames = torch.from_numpy(batch if batch.flags.writeable else batch.copy())
        if self.device == "cpu":
            return frames
        # From pinned memory the copy runs while this thread gathers the next batch; torch keeps the pages until then.
        return frames.pin_memory().to(self.device, non_blocking=True)

    def _prepared(self, scorer: "_Scorer", settings: ClassifySettings) -> Callable[[torch.Tensor], torch.Tensor]:
        scorer.to(device=self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not settings.compile:
            return scorer
        # Freezing takes the weights for constants; on a GPU it gains nothing and holds them twice.
        return torch.compile(scorer, options={"freezing": self.device == "cpu"})

    def _consider_bf16(self, model: nn.Module, card: Card, settings: ClassifySettings, probe: np.ndarray) -> None:
        exact, scores = self._scorer, self.scores([probe])
        self._scorer = self._prepared(_Scorer(model, card, self.device, bf16=True), settings)
        self.precision = "bf16"
        change = float(np.abs(self.scores([probe]) - scores).max())
        if settings.precision == "auto" and change >= MAX_SCORE_CHANGE:
            self._scorer, self.precision = exact, "fp32"
            self.notes.append(f"fp32, not bf16, which moves a score of the probe frames by up to {change:.3f}")
        else:
            self.notes.append(f"bf16, which moves a score of the probe frames by up to {change:.4f}")


class _Scorer(nn.Module):
    """uint8 frames (frames, height, width, 3) to calibrated probabilities, float32 (frames, labels)."""

    def __init__(self, model: nn.Module, card: Card, device: str, *, bf16: bool):
        super().__init__()
        self.model = model
        self.head = head(model)
        self.input, self.device_type, self.bf16 = card.input, device, bf16
        calibration = [card.calibration[label] for label in card.labels]
        self.register_buffer("scale", torch.tensor([one.scale for one in calibration]))
        self.register_buffer("offset", torch.tensor([one.offset for one in calibration]))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = normalise(frames, self.input)
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.bf16):
            features = pooled_features(self.model, pixels)
        # The head costs nothing, and rounding its logits to 8 bits would move scores more than all the rest.
        return torch.sigmoid(self.head(features.float()) * self.scale + self.offset)


def _batches(clips: Sequence[np.ndarray], size: Callable[[], int]) -> Iterator[np.ndarray]:
    """The frames of all clips in batches of at most ``size()``, asked anew for each; copies only across clips."""
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


def _device(wanted: str) -> str:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no GPU here; use --device cpu, or a machine with a GPU and driver")
    if wanted == "auto":
        wanted = "cuda" if available else "cpu"
    if wanted == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32: TF32 has the mantissa of bf16 and two bits
    return wanted


def _has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16 by itself rather than by emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(flag) for flag in _BF16_CPU_FLAGS)


def _is_out_of_memory(error: RuntimeError) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _with_folded_batch_norms(model: nn.Module, probe: torch.Tensor) -> nn.Module:
    """``model`` with each batch norm folded into the convolution whose output it takes, or as it was.

    Which ones those are shows in a forward pass of ``probe``, float (frames, 3, height, width); a second one shows
    whether the logits stayed the same.
    """
    folded = copy.deepcopy(model)
    logits = _fold_batch_norms(folded, probe)
    with torch.inference_mode():
        change = float((folded(probe) - logits).abs().max())
    if not change <= MAX_FOLDING_CHANGE:
        _log.info("batch norms are not folded: that moves a logit by %.3g", change)
        return model
    return folded


def _fold_batch_norms(model: nn.Module, probe: torch.Tensor) -> torch.Tensor:
    """Folds in place; returns the logits of ``probe`` before."""
    maker: dict[int, str] = {}
    """id of a convolution's output → the convolution's name; the outputs are kept, so that no id is used twice."""
    kept: list[torch.Tensor] = []
    pairs: list[tuple[str, str]] = []
    hooks = []
    for name, module in model.named_modules():
        if type(module) is nn.Conv2d:

            def after(_module, _inputs, output, name=name) -> None:
                maker[id(output)] = name
                kept.append(output)

            hooks.append(module.register_forward_hook(after))
        elif isinstance(module, nn.BatchNorm2d):

            def before(_module, inputs, name=name) -> None:
                if (conv := maker.get(id(inputs[0]))) is not None:
                    pairs.append((conv, name))

            hooks.append(module.register_forward_pre_hook(before))
    with torch.inference_mode():
        logits = model(probe)
    for hook in hooks:
        hook.remove()
    for conv_name, norm_name in pairs:
        conv = cast(nn.Conv2d, model.get_submodule(conv_name))
        norm = cast(nn.BatchNorm2d, model.get_submodule(norm_name))
        model.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        # timm's own batch norms carry the dropout and activation that follow.
        rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
        model.set_submodule(norm_name, nn.Sequential(*rest))
    return logits
