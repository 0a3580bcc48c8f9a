"""One epoch of training and prediction of logits, on one CPU or as one of several workers."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.evaluation.label_metrics import has_both_classes
from artifactscan.model.backbone import normalise
from artifactscan.training.augment import augment
from artifactscan.training.recipe import TrainSettings

MAX_GRADIENT_NORM = 1.0


@dataclass(kw_only=True)
class Trainer:
    """A model with its optimiser, schedule and moving average, trained epoch by epoch."""

    model: nn.Module
    """The module called in training: the backbone, or its DistributedDataParallel wrapper."""
    core: nn.Module
    """The backbone itself."""
    average: ModelEmaV3
    loss: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Scheduler
    spec: InputSpec
    settings: TrainSettings
    device: torch.device
    bf16: bool = False
    updates: int = 0
    """Updates done so far."""

    def train_epoch(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        *,
        epoch: int,
        shard: int = 0,
        on_update: Callable[[int], None] | None = None,
    ) -> float:
        """Trains once on uint8 (frames, height, width, 3) and targets in 0..1 (frames, labels); returns the mean loss.

        Seed, epoch and shard decide order and augmentation. ``on_update`` gets the number of frames of each update.
        """
        seed = combine_seeds(self.settings.seed, epoch, shard)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        total = torch.zeros((), device=self.device)
        share = max(1, self.settings.batch_frames // _world_size())
        for rows in shuffled_batches(len(pixels), share, generator):
            frames, wanted = self._batch(pixels[rows], targets[rows], generator)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.model(frames)
            loss = self.loss(logits.float(), wanted)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.core.parameters(), MAX_GRADIENT_NORM)
            self.optimiser.step()
            self.updates += 1
            self.schedule.step_update(self.updates)
            self.average.update(self.core, self.updates)
            total += loss.detach() * len(rows)
            if on_update is not None:
                on_update(len(rows))
        return float(total) / len(pixels)

    def _batch(
        self, pixels: np.ndarray, targets: np.ndarray, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        settings = self.settings
        frames = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)
        frames = augment(frames, generator, flip=settings.flip, colour=settings.colour, crop=settings.crop)
        frames = normalise(frames.permute(0, 2, 3, 1), self.spec)
        return frames, torch.from_numpy(targets).float().to(self.device)


def predict(
    model: nn.Module, pixels: np.ndarray, spec: InputSpec, *, device: torch.device, bf16: bool = False, batch: int = 32
) -> np.ndarray:
    """float32 (frames, labels) logits of uint8 (frames, height, width, 3), in evaluation mode."""
    was_training = model.training
    model.eval()
    logits = [torch.empty(0, 4)]
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for start in range(0, len(pixels), batch):
            frames = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch])).to(device)
            logits.append(model(normalise(frames, spec)).float().cpu())
    model.train(was_training)
    return torch.cat(logits).numpy()


def shuffled_batches(count: int, batch: int, generator: torch.Generator) -> Iterator[np.ndarray]:
    """Row numbers in random order, in batches of nearly equal size: batch norm needs more than one frame."""
    order = torch.randperm(count, generator=generator).numpy()
    yield from np.array_split(order, math.ceil(count / batch))


def updates_per_epoch(frames: int, workers: int, batch_frames: int) -> int:
    """Updates of one worker per epoch; each worker has ``frames / workers`` frames, rounded up."""
    return math.ceil(math.ceil(frames / workers) / max(1, batch_frames // workers))


def tuning_score(y: np.ndarray, logits: np.ndarray) -> float:
    """Macro average precision over the labels that some and not all frames show; NaN where there is no such label."""
    from sklearn.metrics import average_precision_score

    labels = np.flatnonzero(has_both_classes(y.astype(bool)))
    scores = [average_precision_score(y[:, label], logits[:, label]) for label in labels]
    return float(np.mean(scores)) if scores else math.nan


def check_finite(loss: float, epoch: int, settings: TrainSettings) -> None:
    """Raises UsageError for a loss that is infinite or NaN."""
    if not math.isfinite(loss):
        raise UsageError(
            f"the loss became {loss} in epoch {epoch} at --learning-rate {settings.learning_rate:g}; "
            "no checkpoint was written; give a lower --learning-rate"
        )


def combine_seeds(*numbers: int) -> int:
    """One seed from several numbers, such that neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _world_size() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
