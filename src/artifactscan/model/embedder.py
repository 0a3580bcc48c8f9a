"""Reads the features of frames from a probe's backbone, before projection and head."""

import numpy as np
import torch

from artifactscan.model.backbone import load_model, normalise
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import BATCH_FRAMES
from artifactscan.model.device import check_gpu
from artifactscan.model.malloc import keep_freed_memory
from artifactscan.model.probe import ProbeModel


class Embedder:
    """A probe's backbone on one device, in fp32 on a CPU and under bf16 autocast where ``bf16`` says so.

    ``device``: cpu or cuda; ``asked``: the setting that it was chosen from. UsageError for cuda without a GPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "cpu",
        asked: str | None = None,
        bf16: bool = False,
        threads: int = 0,
    ):
        if threads:
            torch.set_num_threads(threads)
        if device == "cpu":
            keep_freed_memory()
        else:
            check_gpu(asked)
        model = load_model(checkpoint)
        assert isinstance(model, ProbeModel)
        self.model = model.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input, self.device, self.bf16 = checkpoint.card.input, device, bf16
        self.tiles = model.probe.tile_count

    def read(self, frames: np.ndarray) -> np.ndarray:
        """float32 (n, tiles, width) of uint8 RGB (n, height, width, 3) at the checkpoint's input size."""
        batch = max(1, BATCH_FRAMES[self.device] // self.tiles)
        parts = []
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            for start in range(0, len(frames), batch):
                pixels = torch.from_numpy(np.array(frames[start : start + batch])).to(self.device)
                parts.append(self.model.read(normalise(pixels, self.input)).float().cpu())
        return torch.cat(parts).unflatten(0, (-1, self.tiles)).numpy()
