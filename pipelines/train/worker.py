"""One worker of a training: loads its frames, trains epoch by epoch, saves state, and predicts."""

import json
import math
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
import ray.train
import ray.train.torch
import safetensors.torch
import torch
from torch import nn

from artifactscan.labels import LABELS
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.model.backbone import load_model
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.device import check_gpu
from artifactscan.training.frame_table import labels_and_targets
from artifactscan.training.loop import Trainer, check_finite, predict, tuning_score, updates_per_epoch
from artifactscan.training.optimisation import freeze, make_average, make_loss, make_optimiser, make_schedule
from artifactscan.training.recipe import TrainSettings

STATE_NAME, BEST_NAME, FACTS_NAME = "state.pt", "best.safetensors", "facts.json"
"""Files of a checkpoint in Ray Train's storage."""


class Worker:
    """One of the processes that train together; all have the same metrics, and so decide alike."""

    def __init__(self, config: dict[str, Any]):
        context = ray.train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()
        self.settings: TrainSettings = config["settings"]
        self.worker_plan, self.log = config["worker_plan"], config["log"]
        self.held_out, self.tune_frames = config["held_out"], config["tune_frames"]
        self.last_epoch = config["last_epoch"]
        if self.worker_plan.threads:
            torch.set_num_threads(self.worker_plan.threads)
        if self.worker_plan.use_gpu:
            check_gpu(self.worker_plan.asked)  # Ray Train would give the CPU without a word
        self.device = cast(torch.device, ray.train.torch.get_device())
        initial: Checkpoint = ray.get(config["initial"])
        self.spec = initial.card.input
        share = config["shares"][self.rank]
        self.pixels, _, self.targets = self._load_frames(f"fit-{self.rank}", share)
        own = self.held_out[self.rank :: self.world]
        self.held_out_pixels, held_out_y, held_out_targets = self._load_frames(f"held-out-{self.rank}", own)
        self.tune_y = self._all_rows(held_out_y)[: self.tune_frames]
        self.tune_targets = self._all_rows(held_out_targets)[: self.tune_frames]
        core = load_model(initial).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = make_optimiser(core, self.settings)
        updates = self.settings.epochs * updates_per_epoch(
            len(share) * self.world, self.world, self.settings.batch_frames
        )
        self.trainer = Trainer(
            model=core,
            core=core,
            average=make_average(core, self.settings),
            loss=make_loss(self.settings, self._all_rows(self.targets)).to(self.device),
            optimiser=optimiser,
            schedule=make_schedule(optimiser, self.settings, updates),
            spec=self.spec,
            settings=self.settings,
            device=self.device,
            bf16=self.worker_plan.bf16,
        )
        self.epoch = 0
        self.best_epoch, self.best_score = 0, -math.inf
        self.best = safetensors.torch.save(_cpu_tensors(core))
        self.history: list[dict[str, Any]] = []
        self._restore()

    def run(self) -> dict[str, Any]:
        """Trains to the end; returns tune and test logits, history and best epoch.

        UsageError for a loss that is not a number.
        """
        self._prepare_model()
        while self.epoch < self.last_epoch and not self._out_of_patience():
            if self.epoch and self.epoch == self.settings.freeze_epochs:
                self._prepare_model()
            self.epoch += 1
            self._train_epoch()
            self._report_epoch()
        kept = self.trainer.average.module
        kept.load_state_dict(safetensors.torch.load(self.best))
        logits = self._predict(kept, self.held_out_pixels)
        return {"logits": logits, "history": self.history, "best_epoch": self.best_epoch}

    def _train_epoch(self) -> None:
        settings, started = self.settings, time.monotonic()
        done = 0

        def on_update(frames: int) -> None:
            nonlocal done
            done += frames
            if self.rank == 0:
                total = len(self.pixels) * self.world
                self.log.add_progress.remote(self.epoch, settings.epochs, min(done * self.world, total), total)

        loss = self.trainer.train_epoch(
            self.pixels, self.targets, epoch=self.epoch, shard=self.rank, on_update=on_update
        )
        fit_loss = float(np.mean(self._gather_from_workers(loss)))
        trained_s = time.monotonic() - started
        check_finite(fit_loss, self.epoch, settings)
        self._broadcast_buffers()
        kept = self.trainer.average.module
        # The loss was finite, but the last update may have left NaN in the weights.
        if not all(tensor.isfinite().all() for tensor in kept.state_dict().values()):
            check_finite(math.nan, self.epoch, settings)
        tune_loss, score = math.nan, math.nan
        if self.tune_frames:
            logits = self._predict(kept, self._own_tune_pixels())[: self.tune_frames]
            tune_loss = self._tune_loss(logits)
            check_finite(tune_loss, self.epoch, settings)
            score = tuning_score(self.tune_y, logits)
        best = math.isnan(score) or score > self.best_score
        if best:
            self.best_epoch, self.best_score = self.epoch, -math.inf if math.isnan(score) else score
            self.best = safetensors.torch.save(_cpu_tensors(kept))
        for row in self.history:
            row["best"] &= not best
        row = {
            "epoch": self.epoch,
            "fit_loss": fit_loss,
            "tune_loss": tune_loss,
            "tune_average_precision": score,
            "learning_rate": self.trainer.optimiser.param_groups[-1]["lr"],
            "frames_per_s": len(self.pixels) * self.world / trained_s,
            "seconds": time.monotonic() - started,
            "best": best,
        }
        self.history.append(row)
        if self.rank == 0:
            self.log.add_epoch.remote(row, settings.epochs)

    def _prepare_model(self) -> None:
        """Makes the head or all layers trainable, by epoch, and wraps the model to average gradients over workers."""
        freeze(self.trainer.core, self.epoch < self.settings.freeze_epochs)
        self.trainer.model = ray.train.torch.prepare_model(self.trainer.core)

    def _out_of_patience(self) -> bool:
        epochs_since_best = self.epoch - self.best_epoch
        return bool(self.tune_frames and self.settings.patience and epochs_since_best >= self.settings.patience)

    def _own_tune_pixels(self) -> np.ndarray:
        """This worker's share of the tune rows: they come first among the held-out ones."""
        return self.held_out_pixels[: len(range(self.rank, self.tune_frames, self.world))]

    def _tune_loss(self, logits: np.ndarray) -> float:
        targets = torch.from_numpy(self.tune_targets).to(self.device)
        with torch.inference_mode():
            return float(self.trainer.loss(torch.from_numpy(logits).to(self.device), targets))

    def _predict(self, model: nn.Module, pixels: np.ndarray) -> np.ndarray:
        """Logits of all workers' frames, in the order of the rows."""
        batch = max(1, self.settings.batch_frames // self.world)
        own = predict(model, pixels, self.spec, device=self.device, bf16=self.worker_plan.bf16, batch=batch)
        return self._all_rows(own)

    def _load_frames(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, labels and what the loss sees of ``rows``, in that order, from the dataset ``name``, in memory."""
        pixels = np.empty((len(rows), self.spec.height, self.spec.width, 3), np.uint8)
        y = np.zeros((len(rows), len(LABELS)), np.int8)
        targets = np.zeros((len(rows), len(LABELS)), np.float32)
        if not len(rows):
            return pixels, y, targets
        positions: dict[int, list[int]] = {}
        filled = 0
        for position, row in enumerate(rows.tolist()):
            positions.setdefault(row, []).append(position)
        shard = ray.train.get_dataset_shard(name)
        for batch in cast(Any, shard).iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=0):
            batch_y, batch_targets = labels_and_targets(batch)
            if self.settings.targets == "labels":
                batch_targets = batch_y
            for number, (row, blob) in enumerate(zip(batch["row"].to_pylist(), batch["pixels"], strict=True)):
                frame = np.frombuffer(blob.as_buffer(), np.uint8).reshape(pixels.shape[1:])
                for position in positions[row]:
                    pixels[position], y[position], targets[position] = frame, batch_y[number], batch_targets[number]
                    filled += 1
        assert filled == len(rows), f"{len(rows)} frames of {name} were requested, the frame table has {filled}"
        return pixels, y, targets

    def _all_rows(self, own: np.ndarray) -> np.ndarray:
        """Merges the workers' rows: worker ``rank`` has rows ``rank``, ``rank + world``, …"""
        parts = self._gather_from_workers(own)
        merged = np.empty((sum(map(len, parts)), *own.shape[1:]), own.dtype)
        for rank, part in enumerate(parts):
            merged[rank :: self.world] = part
        return merged

    def _gather_from_workers(self, value: Any) -> list[Any]:
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def _broadcast_buffers(self) -> None:
        """Copies the batch-norm statistics of rank 0 to all workers: each has those of its own frames."""
        if self.world > 1:
            for model in (self.trainer.core, self.trainer.average.module):
                for buffer in model.buffers():
                    torch.distributed.broadcast(buffer, 0)

    def _report_epoch(self) -> None:
        """A barrier over all workers; the state of rank 0 is stored."""
        with temporary_folder() as folder:
            checkpoint = None
            if self.rank == 0:
                self._save(Path(folder))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": self.epoch}, checkpoint=checkpoint)

    def _save(self, folder: Path) -> None:
        trainer = self.trainer
        state = {
            "model": trainer.core.state_dict(),
            "average": trainer.average.module.state_dict(),
            "optimiser": trainer.optimiser.state_dict(),
            "updates": trainer.updates,
        }
        torch.save(state, folder / STATE_NAME)
        (folder / BEST_NAME).write_bytes(self.best)
        facts = {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "history": self.history,
        }
        (folder / FACTS_NAME).write_text(json.dumps(facts))

    def _restore(self) -> None:
        """Loads the state after the last reported epoch, if there is one."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, STATE_NAME), map_location=self.device, weights_only=True)
            self.best = Path(folder, BEST_NAME).read_bytes()
            facts = json.loads(Path(folder, FACTS_NAME).read_text())
        self.trainer.core.load_state_dict(state["model"])
        self.trainer.average.module.load_state_dict(state["average"])
        self.trainer.optimiser.load_state_dict(state["optimiser"])
        self.trainer.updates = state["updates"]
        self.epoch, self.best_epoch = facts["epoch"], facts["best_epoch"]
        self.best_score, self.history = facts["best_score"], facts["history"]
        if self.rank == 0:
            self.log.add_line.remote(f"going on after epoch {self.epoch}")


def _cpu_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
