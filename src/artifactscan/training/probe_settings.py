"""The settings of probes: what is read of a frozen backbone, and how the head is fitted to it."""

from dataclasses import dataclass
from typing import Literal

from artifactscan.errors import UsageError
from artifactscan.model.probe_spec import ProbeSpec, Token
from artifactscan.training.probe_fit import PENALTIES

MAX_PENALTY = 1e3
"""A head under a larger one gives every frame the same score."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What is trained; the other settings are those of --train head."""

    train: Literal["all", "head"] = "all"
    """all: the backbone's weights and its head, on Ray Train. head: the backbone is frozen, embeds each labelled frame
    once, and a linear head is fitted in seconds (a probe)."""
    blocks: tuple[int, ...] = ()
    """Blocks that the head reads, from 0; none: the backbone's last feature map."""
    tokens: tuple[Token, ...] = ("pooled",)
    """Read from each: class (token), mean, std and max of the patches, or pooled: what the backbone's head takes."""
    neighbours: int = 1
    """Sampled frames before and after a frame between which the head sees how much the features change."""
    temporal_smoothing: float = 0.65
    """Share of a frame's logits that comes from the sampled frames before and after it, half from each; 0: none."""
    tiles: tuple[int, int] = (1, 1)
    """Rows and columns that a frame of --height by --width is cut into; each tile costs as much as a frame."""
    unit_length: bool = False
    """Scale what is read of a frame to length 1, so that only its direction counts."""
    components: int = 0
    """Principal components that the features are projected to; 0: no projection."""
    penalty: float = 0.0
    """Of the ridge regression, relative to the features' mean squared length; 0: the best of several on held-out
    videos."""
    half: bool = False
    """Store the backbone's weights in 16 bits: half the size, scores within a thousandth."""
    sample_fps: float = 2.0
    """Sampled frames per second of the neighbours: as in the scoring job that will use the checkpoint."""

    def probe(self) -> ProbeSpec:
        """What the head reads; UsageError for what no probe can be."""
        return ProbeSpec(
            blocks=self.blocks,
            tokens=self.tokens,
            unit_length=self.unit_length,
            components=self.components,
            neighbours=self.neighbours,
            smoothing=self.temporal_smoothing,
            sample_fps=self.sample_fps,
            tiles=self.tiles,
        )

    def penalties(self) -> tuple[float, ...]:
        """Penalties to choose from."""
        return (self.penalty,) if self.penalty else PENALTIES

    def check_probe(self) -> None:
        """UsageError for settings out of range."""
        if not 0 <= self.penalty <= MAX_PENALTY:
            raise UsageError(f"--penalty is {self.penalty}; give a number from 0 to {MAX_PENALTY:g}")
        self.probe()
