"""What frames may look like and still show the same artifacts: mirrored, a little other colours, gently cropped.

What makes or hides an artifact is not in here. Blur and compression smear like a texture defect and take away the
broken outlines that boundary is about; noise is a texture defect; cut-out and mixing of frames remove objects or double
them, which is what object is about; large crops lose defects at the edge while the label still says that they are
there; frames upside down break gravity, which motion is about.
"""

import torch
from torch.nn import functional

_CROPPED_SHARE = 0.5
"""Of the frames: the others keep every pixel, so that interpolation is nothing a model could learn from."""
_LUMA = (0.299, 0.587, 0.114)


def augment(
    frames: torch.Tensor, generator: torch.Generator, *, flip: bool = True, colour: float = 0.1, crop: float = 0.1
) -> torch.Tensor:
    """Varies each frame on its own: (frames, 3, height, width), uint8 or float in 0..255, to float32 in 0..255.

    ``generator``, on the CPU, decides all: the same one gives the same frames on every device. ``flip`` mirrors half of
    them; ``colour`` is the largest change of brightness, contrast and saturation; ``crop`` the largest share of height
    and width that half of them lose, the rest being enlarged to the full size again (bicubic, no blur).
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
    """``factors``: (3, frames) of brightness, contrast and saturation."""
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in factors)
    frames = frames * brightness
    mean = frames.mean(dim=(1, 2, 3), keepdim=True)
    frames = mean + (frames - mean) * contrast
    luma = torch.tensor(_LUMA, device=frames.device)[:, None, None]
    grey = (frames * luma).sum(dim=1, keepdim=True)
    return (grey + (frames - grey) * saturation).clamp(0, 255)


def _crop(frames: torch.Tensor, scale: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Windows of ``scale``, (frames,), times the size, at ``place``, (2, frames) in 0..1, enlarged to the full size."""
    shift = (2 * place - 1) * (1 - scale)
    matrix = torch.zeros(len(frames), 2, 3, device=frames.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = shift.T
    grid = functional.affine_grid(matrix, list(frames.shape), align_corners=False)
    taken = functional.grid_sample(frames, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return taken.clamp(0, 255)
