"""How a checkpoint is run. Separate from the classifier, so that the driver and decoders need not import torch."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class ClassifySettings:
    """How a checkpoint is run."""

    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    device: str = "auto"
    """auto (cuda where this process has a GPU), cuda or cpu."""
    asked: str | None = None
    """The setting from which the driver of a job has chosen the device for all nodes; None: it is chosen here."""
    precision: str = "auto"
    """auto (bf16 where the hardware has it and no score of the probe frames moves by 0.01 or more), bf16 or fp32."""
    compile: bool = False
    """Compile the model: slow to start, faster afterwards; needs a C++ compiler on a CPU."""

    def on(self, device: str) -> "ClassifySettings":
        """These settings with the device that the driver of a job has chosen."""
        return replace(self, device=device, asked=self.device)
