"""Texture artifacts on pixels: surfaces that boil, repeat themselves in tiles, or are smeared like wax."""

import numpy as np

from artifactscan.synthesis.images import blur, gray, sample, smooth_noise, warp
from artifactscan.synthesis.view import Effect, View, mix

_SMEAR_STEPS = 7
"""Samples on each side along the smear; more look the same."""


def boiling(view: View) -> np.ndarray:
    """Fine detail is made anew in every frame, so that the surface seethes; strength is how far it is thrown."""
    shape = (len(view), *view.shape)
    cell = max(2.0, view.scale * 0.014)
    # A period of a frame and a half: no two frames agree, but a little survives, as in a generator's flicker.
    across, along, speckle = (smooth_noise(view.rng, *shape, cell=cell, period=1.5) for _ in range(3))
    reach = view.scale * 0.02 * view.strength
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        thrown = warp(frame, reach * region * across[position], reach * region * along[position])
        luma = gray(thrown)
        contrast = np.clip(blur(np.abs(luma - blur(luma, cell)), 2 * cell) / 10, 0.25, 1)
        grain = 22 * view.strength * speckle[position] * contrast
        out.append(mix(frame, thrown + grain[..., None], region))
    return np.clip(np.stack(out), 0, 255)


def tiled(view: View) -> np.ndarray:
    """One small patch of the surface repeats all over it under the light of the original; strength is opacity."""
    side = max(4, round(view.scale * view.rng.uniform(0.05, 0.085)))
    offset = view.rng.uniform(-0.2, 0.2, 2)
    brick = view.rng.integers(0, 2) * side // 2
    y, x = np.mgrid[0 : view.shape[0], 0 : view.shape[1]]
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        top, bottom, left, right = view.extent(position)
        centre_x, centre_y = view.centre(position)
        x0 = int(np.clip(centre_x + offset[0] * (right - left) - side / 2, 0, max(0, view.shape[1] - side)))
        y0 = int(np.clip(centre_y + offset[1] * (bottom - top) - side / 2, 0, max(0, view.shape[0] - side)))
        patch = frame[y0 : y0 + side, x0 : x0 + side]
        row = (y - y0) // side
        tiles = patch[(y - y0) % patch.shape[0], (x - x0 + brick * row) % patch.shape[1]]
        light = blur(frame, side / 2)
        repeated = 1.25 * (tiles - patch.mean((0, 1))) + light
        out.append(mix(frame, repeated, view.strength * region))
    return np.clip(np.stack(out), 0, 255)


def smeared(view: View) -> np.ndarray:
    """Detail is dragged along slow swirls until the surface is waxy; strength is how far."""
    turns = smooth_noise(view.rng, len(view), *view.shape, cell=view.scale * 0.11, period=40)
    angle = view.rng.uniform(0, np.pi)
    step = view.scale * 0.055 * view.strength / _SMEAR_STEPS
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0 : view.shape[0], 0 : view.shape[1]])
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        direction = angle + np.pi * turns[position]
        dx, dy = step * np.cos(direction), step * np.sin(direction)
        steps = range(-_SMEAR_STEPS, _SMEAR_STEPS + 1)
        total = sum((sample(frame, x + k * dx, y + k * dy) for k in steps), start=np.zeros_like(frame))
        waxy = total / (2 * _SMEAR_STEPS + 1)
        out.append(mix(frame, waxy, np.minimum(1, 1.5 * region)))
    return np.stack(out)


EFFECTS: dict[str, Effect] = {"boiling": boiling, "tiled": tiled, "smeared": smeared}
"""Variant → effect."""
