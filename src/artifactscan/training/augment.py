"""Augmentation that neither adds nor hides an artifact: mirroring, small changes of colour, small crops.

Left out on purpose: blur, compression and noise look like texture defects or hide boundary defects; cut-out and mixing
of frames remove or double objects, as object defects do; large crops lose defects at the edge while the label stays;
frames upside down break gravity, as motion defects do.
"""

import torch
from torch.nn import functional

_CROPPED_SHARE = 0.5
"""Share of frames that are cropped: the others keep every pixel, so that interpolation tells nothing about labels."""
_LUMA = (0.299, 0.587, 0.114)


def augment(
    frames: torch.Tensor, generator: torch.Generator, *, flip: bool = True, colour: float = 0.1, crop: float = 0.1
) -> torch.Tensor:
    """Augments each frame on its own: (frames, 3, height, width), uint8 or float in 0..255, to float32 in 0..255.

    All random numbers come from ``generator``, on the CPU, so that results are the same on every device. ``flip``
    mirrors half of the frames; ``colour`` is the largest relative change of brightness, contrast and saturation;
    ``crop`` is the largest share of height and width that half of the frames lose before they are enlarged to the full
    size again (bicubic).
    """
    frames = frames.float()
    count = len(frames)
    draws = torch.rand(8, count, generator=generator).to(frames.device)
    if flip:
        frames = torch.where((draws[0] < 0.5)[:, None, None, None], frames.flip(-1), frames)
    if colour:
        frames = _recolour(frames, 1 + colour * (2 * draws[1:4] - 1))
    if crop and (cropped := draws[4] < _CROPPED_SHARE).any():
        frames = frames.clone()
        frames[cropped] = _crop(frames[cropped], 1 - crop * draws[5, cropped], draws[6:8, cropped])
    return frames


def _recolour(frames: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Scales brightness, contrast and saturation by ``factors``, (3, frames)."""
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in factors)
    frames = frames * brightness
    mean = frames.mean(dim=(1, 2, 3), keepdim=True)
    frames = mean + (frames - mean) * contrast
    luma = torch.tensor(_LUMA, device=frames.device)[:, None, None]
    grey = (frames * luma).sum(dim=1, keepdim=True)
    return (grey + (frames - grey) * saturation).clamp(0, 255)


def _crop(frames: torch.Tensor, scale: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Crops windows of ``scale`` (frames,) times the size at ``place`` (2, frames) in 0..1, enlarged to full size."""
    shift = (2 * place - 1) * (1 - scale)
    matrix = torch.zeros(len(frames), 2, 3, device=frames.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = shift.T
    grid = functional.affine_grid(matrix, list(frames.shape), align_corners=False)
    taken = functional.grid_sample(frames, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return taken.clamp(0, 255)
