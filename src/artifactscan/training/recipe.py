"""The hyperparameters of one training."""

from dataclasses import dataclass, fields
from typing import Literal

from artifactscan.errors import UsageError

Loss = Literal["bce", "asymmetric"]
Balance = Literal["none", "sqrt", "full"]
Targets = Literal["severity", "labels"]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model is trained on labelled frames."""

    epochs: int = 20
    """Largest number of passes over the frames."""
    patience: int = 6
    """Epochs without a better macro average precision on the tuning side after which training stops; 0: never."""
    batch_frames: int = 32
    """Frames per update, all workers together."""
    learning_rate: float = 3e-4
    """Peak rate of the head."""
    layer_decay: float = 0.8
    """Each layer further from the head learns at this share of the next one's rate; 1: all at the same rate."""
    freeze_epochs: int = 0
    """Epochs at the start in which only the head is trained."""
    warmup_share: float = 0.1
    """Share of all updates in which the learning rate rises, before it falls along a cosine."""
    weight_decay: float = 0.05
    loss: Loss = "bce"
    """bce: binary cross-entropy; asymmetric: easy negatives count less (arXiv 2009.14119)."""
    targets: Targets = "severity"
    """What graded frames teach: severity, from 0 for grade 0 to 1 for grade 3, or labels, 0 or 1. Early stopping,
    calibration, thresholds and metrics are of the labels."""
    balance: Balance = "sqrt"
    """Weight of a label's positives: none is 1, full is negatives per positive, sqrt its square root."""
    smoothing: float = 0.0
    """Label smoothing: moves each target this share of the way to one half."""
    ema_decay: float = 0.99
    """Decay of the moving average of weights that is evaluated and kept; 0: the weights themselves."""
    flip: bool = True
    """Mirror half of the frames left to right."""
    colour: float = 0.1
    """Brightness, contrast and saturation vary by up to this share."""
    crop: float = 0.1
    """Half of the frames lose up to this share of each side's length."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_frames", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{_flag(name)} is {getattr(self, name)}; give a number above 0")
        for name in ("patience", "freeze_epochs", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{_flag(name)} is {getattr(self, name)}; give 0 or more")
        for name in ("warmup_share", "smoothing", "ema_decay", "colour", "crop"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{_flag(name)} is {getattr(self, name)}; give a share from 0 to below 1")
        if not 0 < self.layer_decay <= 1:
            raise UsageError(f"--layer-decay is {self.layer_decay}; give a share above 0, at most 1")


def training_part(settings: TrainSettings) -> TrainSettings:
    """Only the fields of TrainSettings, of a job's settings that inherit them."""
    return TrainSettings(**{field.name: getattr(settings, field.name) for field in fields(TrainSettings)})


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
