"""Boundary artifacts on pixels: outlines that are doubled, or melt into what is beside them."""

import numpy as np

from artifactscan.synthesis.images import blur, edge_strength, smooth_noise, warp
from artifactscan.synthesis.view import Effect, View, mix


def doubled(view: View) -> np.ndarray:
    """A second outline beside the first, that sways a little; strength moves it away and makes it opaque."""
    angle = view.rng.uniform(0, 2 * np.pi)
    sway = smooth_noise(view.rng, len(view), 1, 1, cell=1, period=9).ravel()
    reach = view.scale * (0.010 + 0.020 * view.strength)
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        turn = angle + 0.5 * sway[position]
        far = reach * (1 + 0.25 * sway[position])
        ghost = warp(frame, np.full(view.shape, far * np.cos(turn)), np.full(view.shape, far * np.sin(turn)))
        opacity = 0.92 * np.sqrt(view.strength) * np.clip(1.3 * edge_strength(ghost), 0, 1)
        out.append(mix(frame, ghost, opacity * region))
    return np.stack(out)


def melted(view: View) -> np.ndarray:
    """Outlines run and drip like wax; strength is how far they run."""
    shape = (len(view), *view.shape)
    sideways = smooth_noise(view.rng, *shape, cell=view.scale * 0.045, period=14)
    down = smooth_noise(view.rng, *shape, cell=view.scale * 0.035, period=18)
    reach = view.scale * 0.06 * view.strength
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        # Only near outlines: what is melted is the edge, not the surface.
        near = np.clip(2.2 * blur(edge_strength(frame), view.scale * 0.012), 0, 1) * region
        run = reach * near
        # What is above comes down in drips, here more and there less.
        melting = warp(frame, run * 0.8 * sideways[position], -run * (0.35 + 0.9 * down[position]))
        soft = blur(melting, view.scale * 0.006)
        out.append(mix(frame, mix(melting, soft, 0.75 * near * view.strength), np.minimum(1, 8 * near)))
    return np.stack(out)


EFFECTS: dict[str, Effect] = {"doubled": doubled, "melted": melted}
"""Variant → effect."""
