"""How a checkpoint is run. Separate from the classifier, so that the driver and decoders need not import torch."""

from dataclasses import dataclass, replace

from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import Checkpoint

BATCH_FRAMES = {"cuda": 128, "cpu": 16}
"""Default frames per forward pass: a GPU needs many to be busy; few fit into the caches of a CPU."""
MAX_SCORE_CHANGE = 0.01
"""Precision auto takes what is faster than fp32 only where no score of the probe frames moves by this much or more."""


@dataclass(frozen=True, kw_only=True)
class ClassifySettings:
    """How a checkpoint is run."""

    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    device: str = "auto"
    """auto (cuda where this process has a GPU), cuda or cpu."""
    asked: str | None = None
    """The setting from which the driver of a job has chosen the device for all nodes; None: it is chosen here."""
    backend: str | None = None
    """Spec.backend of a job, which all its workers must have; None: it is chosen here."""
    precision: str = "auto"
    """auto (what is fastest here and moves no score of the probe frames by 0.01 or more), bf16, fp32, or int8, which
    needs a graph exported so."""
    compile: bool = False
    """Compile the model: slow to start, faster afterwards; needs a C++ compiler on a CPU."""

    def on(self, device: str) -> "ClassifySettings":
        """These settings with the device that the driver of a job has chosen."""
        return replace(self, device=device, asked=self.device)

    def uses_graph(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint's exported graph is run, on the CPU, in place of torch.

        Not where a GPU or compiling is asked for, and with precision auto not where it moves scores too much.
        UsageError for precision int8 without such a graph.
        """
        graph, runs_torch = checkpoint.graph, self.device == "cuda" or self.compile
        is_int8 = graph is not None and graph.info.precision == "int8"
        if self.precision == "int8":
            if not is_int8:
                raise UsageError(
                    "--precision int8 needs a checkpoint with a graph in int8; make one with "
                    "`artifactscan checkpoint export --precision int8`"
                )
            if runs_torch:
                raise UsageError("--precision int8 runs on the CPU, uncompiled; leave out --device cuda and --compile")
        if graph is None or runs_torch or (is_int8 and self.precision not in ("auto", "int8")):
            return False
        return self.precision != "auto" or graph.info.largest_change < MAX_SCORE_CHANGE
