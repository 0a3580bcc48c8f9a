"""What a classifier takes in: the part of a checkpoint's card that decoding and training share."""

from dataclasses import dataclass

RESIZE_KERNELS: tuple[str, ...] = ("bicubic", "bilinear", "area", "lanczos")
"""Resize kernels that a card may name; swscale's, anti-aliased when shrinking."""


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
