"""Operations on pictures: float32 arrays, (height, width) or (height, width, 3), colours on the 0..255 scale."""

import numpy as np
from scipy import ndimage


def fraction(value: np.ndarray | float):
    """What is left of ``value``, a number or an array, modulo 1: from 0 on and below 1.

    Not with ``%``: its fmod computes in x87 registers, and gives NaN where a library has left them in the state of MMX
    instructions, as FFmpeg's and its codecs' may.
    """
    return value - np.floor(value)


def blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur over the first two axes; ``sigma`` in pixels."""
    return ndimage.gaussian_filter(picture, (sigma, sigma, 0)[: picture.ndim], mode="nearest", truncate=3)


def gray(picture: np.ndarray) -> np.ndarray:
    """Luma of RGB in the last axis, float32, same scale."""
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def edge_strength(picture: np.ndarray) -> np.ndarray:
    """How much of an edge each pixel of an RGB picture is, 0..1, a few pixels wide."""
    slope = ndimage.gaussian_gradient_magnitude(gray(picture), 1, mode="nearest", truncate=3)
    return np.clip(blur(slope, 1.5) / 10, 0, 1)


def sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray, *, repeat: bool = False) -> np.ndarray:
    """The picture at positions (x, y) in pixels, bilinear; beyond its edges it repeats, or only its outer pixels do."""
    positions, mode = np.stack(np.broadcast_arrays(y, x)), "grid-wrap" if repeat else "nearest"
    if picture.ndim == 2:
        return ndimage.map_coordinates(picture, positions, order=1, mode=mode, output=np.float32)
    out = np.empty((*positions.shape[1:], picture.shape[2]), np.float32)
    for channel in range(picture.shape[2]):
        ndimage.map_coordinates(picture[..., channel], positions, order=1, mode=mode, output=out[..., channel])
    return out


def warp(picture: np.ndarray, dx: np.ndarray | float, dy: np.ndarray | float) -> np.ndarray:
    """Each pixel takes what lies (dx, dy) pixels from it."""
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    return sample(picture, x + dx, y + dy)


def mix(old: np.ndarray, new: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """``new`` where ``share``, a number or (height, width), is 1; exactly ``old`` where it is 0."""
    return old + (new - old) * np.asarray(share, np.float32)[..., None]


def fill(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The picture with its hole, bool (height, width), filled smoothly from around it."""
    rows, columns = np.asarray(ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True))
    spread = blur(picture[rows, columns], 0.1 * np.sqrt(hole.sum()))
    return np.where(hole[..., None], spread, picture)


def smooth_noise(
    rng: np.random.Generator, frames: int, height: int, width: int, *, cell: float, period: float
) -> np.ndarray:
    """Noise that varies over about ``cell`` pixels and ``period`` frames.

    float32 in -1.4..1.4, (frames, height, width); the same generator gives the same noise.
    """
    axes = [_grid_weights(frames, period), _grid_weights(height, cell), _grid_weights(width, cell)]
    field = rng.uniform(-1.4, 1.4, [axis.shape[1] for axis in axes]).astype(np.float32)
    for axis in axes:
        # Each turn interpolates the first axis and moves it last; after three they stand in their own order.
        field = np.tensordot(field, axis, axes=(0, 1))
    return field


def _grid_weights(size: int, cell: float) -> np.ndarray:
    """Interpolation from a grid of one point per ``cell`` to ``size`` points: float32, (size, grid points)."""
    position = np.arange(size) / cell
    low = position.astype(int)
    weights = np.zeros((size, low[-1] + 2), np.float32)
    weights[np.arange(size), low + 1] = smoothstep(position - low)
    weights[np.arange(size), low] = 1 - smoothstep(position - low)
    return weights


def smoothstep(x):
    """0 below 0, 1 above 1, and an even slope between; of a number or of an array."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
