"""A classifier's input: the part of a checkpoint's card that decoding and training share."""

from dataclasses import dataclass

from artifactscan.errors import UsageError

MAX_SIDE = 4096
"""Pixels; a larger side is a mistake in a card, and would need gigabytes per batch."""
RESIZE_KERNELS: tuple[str, ...] = ("bicubic", "bilinear", "area", "lanczos")
"""swscale's resize kernels that a card may name; all are anti-aliased when shrinking."""


class InputSpecError(UsageError, ValueError):
    """A value that an InputSpec cannot have."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The frames a checkpoint was trained on: the whole frame, stretched to ``height`` × ``width``, uint8 RGB."""

    height: int
    """Pixels."""
    width: int
    """Pixels; may differ from the height: a 16:9 clip squeezed into a square loses horizontal detail."""
    resize: str = "bicubic"
    """One of RESIZE_KERNELS."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, on the 0..1 scale; subtracted on the device, not while decoding."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Per channel, on the 0..1 scale."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            side = getattr(self, name)
            if not (isinstance(side, int) and 1 <= side <= MAX_SIDE):
                raise InputSpecError(f"input {name} {side!r} is not a whole number from 1 to {MAX_SIDE}")
        if self.resize not in RESIZE_KERNELS:
            raise InputSpecError(f"input resize {self.resize!r} is not one of {', '.join(RESIZE_KERNELS)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if (
                not isinstance(values, tuple | list)
                or len(values) != 3
                or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values)
            ):
                raise InputSpecError(f"input {name} {values!r} is not three numbers from 0 to 1")
        if 0 in self.std:
            raise InputSpecError(f"input std {self.std!r} divides by zero")
