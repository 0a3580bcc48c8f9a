"""Small tools on pictures: float32 arrays (height, width) or (height, width, channels)."""

import numpy as np


def blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur over the first two axes, edges mirrored; ``sigma`` in pixels."""
    if sigma <= 0:
        return picture
    radius = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in range(picture.ndim)]
        padded = np.pad(picture, pad, mode="symmetric")
        size = picture.shape[axis]
        shifted = (np.take(padded, range(k, k + size), axis=axis) for k in range(len(taps)))
        picture = sum((tap * part for tap, part in zip(taps, shifted, strict=True)), start=np.zeros_like(picture))
    return picture


def gray(picture: np.ndarray) -> np.ndarray:
    """Luma of RGB in the last axis, float32, same scale."""
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def edge_strength(picture: np.ndarray) -> np.ndarray:
    """How much of an edge each pixel is, 0..1, a few pixels wide; ``picture``: RGB on the 0..255 scale."""
    luma = blur(gray(picture), 1.0)
    slope = np.hypot(*np.gradient(luma))
    return np.clip(blur(slope, 1.5) / 10, 0, 1)


def warp(picture: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Each pixel takes what lies (dx, dy) pixels from it, bilinear, edges repeated; float32, (h, w, channels)."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    return sample(picture, x + dx, y + dy)


def sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The picture at the positions (x, y) in pixels, bilinear, edges repeated."""
    height, width = picture.shape[:2]
    x = np.clip(x, 0, width - 1).astype(np.float32)
    y = np.clip(y, 0, height - 1).astype(np.float32)
    x0, y0 = np.minimum(x.astype(np.int32), max(0, width - 2)), np.minimum(y.astype(np.int32), max(0, height - 2))
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    flat = picture.reshape(height, width, -1)
    top = flat[y0, x0] * (1 - fx) + flat[y0, x1] * fx
    bottom = flat[y1, x0] * (1 - fx) + flat[y1, x1] * fx
    mixed = top * (1 - fy) + bottom * fy
    return mixed if picture.ndim == 3 else mixed[..., 0]


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, over the first two axes."""
    y = (np.arange(height) + 0.5) * picture.shape[0] / height - 0.5
    x = (np.arange(width) + 0.5) * picture.shape[1] / width - 0.5
    return sample(picture, *np.broadcast_arrays(x[None, :], y[:, None]))


def halve(picture: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels; an odd last row or column is repeated."""
    pad = [(0, picture.shape[a] % 2) if a < 2 else (0, 0) for a in range(picture.ndim)]
    p = np.pad(picture, pad, mode="edge")
    return (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4


def smooth_noise(rng: np.random.Generator, frames: int, height: int, width: int, *, cell: float, period: float):
    """Noise that varies smoothly over about ``cell`` pixels and ``period`` frames: float32, (frames, height, width).

    Roughly within -1..1; the same generator gives the same noise.
    """
    axes = [_weights(frames, period), _weights(height, cell), _weights(width, cell)]
    field = rng.uniform(-1.4, 1.4, tuple(axis.shape[1] for axis in axes)).astype(np.float32)
    for axis in axes:
        # Each turn interpolates the first axis and moves it last; after three they stand in their own order.
        field = np.tensordot(field, axis, axes=(0, 1))
    return field


def _weights(size: int, cell: float) -> np.ndarray:
    """Interpolation from a grid of one point per ``cell`` to ``size`` points: float32, (size, grid)."""
    at = np.arange(size) / max(cell, 1e-6)
    low = at.astype(int)
    fraction = at - low
    fraction = fraction * fraction * (3 - 2 * fraction)
    weights = np.zeros((size, (low[-1] if size else 0) + 2), np.float32)
    weights[np.arange(size), low] = 1 - fraction
    weights[np.arange(size), low + 1] += fraction
    return weights


def fill(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture with its unknown pixels filled smoothly from around them (pull-push pyramid).

    ``picture``: float32, (h, w, channels); ``known``: float32, (h, w), 1 known, 0 unknown.
    """
    weight = known[..., None]
    if min(picture.shape[:2]) <= 1 or known.min() > 0:
        return picture * weight + (1 - weight) * (picture * weight).sum((0, 1)) / max(weight.sum(), 1e-6)
    small_weight = halve(known)
    small = halve(picture * weight) / np.maximum(small_weight, 1e-6)[..., None]
    coarse = fill(small, (small_weight > 1e-3).astype(np.float32))
    return picture * weight + (1 - weight) * blur(resize(coarse, *picture.shape[:2]), 0.7)


def feather(height: int, width: int, rng: np.random.Generator, *, wobble: float = 0.18) -> np.ndarray:
    """A soft blob that fills a box without touching its rim: float32 0..1, (height, width).

    Its outline wobbles, so that nobody learns to find rectangles or ellipses.
    """
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    angle = np.arctan2(y[:, None], x[None, :])
    radius = (np.abs(x[None, :]) ** 2.6 + np.abs(y[:, None]) ** 2.6) ** (1 / 2.6)
    outline = 1 - wobble
    for turns in (2, 3, 5):
        outline = outline + wobble / turns * np.sin(turns * angle + rng.uniform(0, 2 * np.pi))
    return smoothstep((np.minimum(outline, 0.97) - radius) / 0.25).astype(np.float32)


def ease(x: float) -> float:
    """smoothstep of one number."""
    return float(smoothstep(np.asarray(x)))


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and an even slope between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
