"""Fine-tuning as a person writes it by hand, in a process of its own; prints each epoch's frames per second as JSON.

    python benchmarks/bare_loop.py FRAMES --backbone NAME --size 224 --epochs 5 --threads 2 [--same-work]

FRAMES: Parquet files of a frame table. `finetune.py` runs it in turns with the job.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.utils.model_ema import ModelEmaV3

from artifactscan.labels import LABELS
from artifactscan.training.augment import augment
from artifactscan.training.loop import MAX_GRADIENT_NORM
from artifactscan.training.recipe import TrainSettings

SETTINGS = TrainSettings()
"""The job's defaults."""


def train(frames: torch.Tensor, y: torch.Tensor, backbone: str, *, epochs: int, same_work: bool) -> list[float]:
    """Frames per second of each epoch; uint8 (frames, height, width, 3) and float32 (frames, labels).

    ``same_work``: with what the job adds to each update: augmentation, gradient clipping and the weights' average.
    """
    model = timm.create_model(backbone, num_classes=y.shape[1]).to(memory_format=torch.channels_last).train()
    mean, std = (torch.tensor(resolve_model_data_config(model)[name])[:, None, None] for name in ("mean", "std"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay)
    loss_of = torch.nn.BCEWithLogitsLoss()
    average, generator, updates = ModelEmaV3(model, decay=SETTINGS.ema_decay, use_warmup=True), torch.Generator(), 0
    rates = []
    for _ in range(epochs):
        started, total = time.monotonic(), 0.0
        for rows in torch.randperm(len(frames)).split(SETTINGS.batch_frames):
            pixels = frames[rows].permute(0, 3, 1, 2).float()
            if same_work:
                pixels = augment(pixels, generator)
            loss = loss_of(model((pixels / 255 - mean) / std), y[rows])
            optimiser.zero_grad()
            loss.backward()
            if same_work:
                torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            if same_work:
                updates += 1
                average.update(model, updates)
            total += loss.item() * len(rows)
        rates.append(len(frames) / (time.monotonic() - started))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--same-work", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = pd.read_parquet(arguments.frames)
    shape = (len(table), arguments.size, arguments.size, 3)
    frames = torch.from_numpy(np.frombuffer(b"".join(table["pixels"]), np.uint8).reshape(shape).copy())
    y = torch.tensor(table[[f"y_{label}" for label in LABELS]].to_numpy(np.float32))
    print(json.dumps(train(frames, y, arguments.backbone, epochs=arguments.epochs, same_work=arguments.same_work)))


if __name__ == "__main__":
    main()
