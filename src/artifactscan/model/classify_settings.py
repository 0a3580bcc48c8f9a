"""How frames become scores; apart from the classifier, so that a driver or a decoder need not load torch for it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClassifySettings:
    """How a checkpoint is run."""

    batch_frames: int = 0
    """Frames per forward pass; 0: BATCH_FRAMES of artifactscan.classifier for the device."""
    device: str = "auto"
    """auto (cuda where there is one), cuda or cpu."""
    precision: str = "auto"
    """auto (bf16 where the hardware has it and no score of the probe moves by MAX_SCORE_CHANGE), bf16 or fp32."""
    compile: bool = False
    """Compile the model: slow to start, faster after; needs a C++ compiler on a CPU."""
