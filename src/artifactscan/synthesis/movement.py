"""Motion artifacts on pixels of real footage: a moving region bends, swaps its ends, stops, or runs backwards."""

import numpy as np

from artifactscan.synthesis.images import gray, sample, smoothstep
from artifactscan.synthesis.view import Effect, View, mix

_LEAD_FRAMES = 4
"""How far before its start a stopped or reversed region hangs, so that it is off from the first frame on."""


def bent(view: View) -> np.ndarray:
    """The outer half of the region turns about its middle like a limb on a joint that is not there.

    Strength 1 turns it by 100 degrees.
    """
    sign = view.rng.choice([-1, 1])
    outward = view.rng.choice([-1, 1])
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0 : view.shape[0], 0 : view.shape[1]])
    axis = outward * _main_axis(view)
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        centre_x, centre_y = view.centre(position)
        top, bottom, left, right = view.extent(position)
        reach = max(bottom - top, right - left) / 2
        dx, dy = x - centre_x, y - centre_y
        outer = smoothstep((dx * axis[0] + dy * axis[1]) / (0.35 * reach) + 0.5)
        angle = -sign * np.radians(100) * view.strength * outer * region
        bend_x = centre_x + np.cos(angle) * dx - np.sin(angle) * dy
        bend_y = centre_y + np.sin(angle) * dx + np.cos(angle) * dy
        out.append(mix(frame, sample(frame, bend_x, bend_y), np.minimum(1, 6 * region)))
    return np.stack(out)


def swapped(view: View) -> np.ndarray:
    """The two ends of the region stand in each other's place; strength is opacity."""
    axis = _main_axis(view)
    along_y = abs(axis[1]) >= abs(axis[0])
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0 : view.shape[0], 0 : view.shape[1]])
    out = []
    for position, region in enumerate(view.region):
        frame = view.frame(position)
        top, bottom, left, right = view.extent(position)
        centre_x, centre_y = view.centre(position)
        if along_y:
            half, offset = (bottom - top) / 2, y - centre_y
            other = sample(frame, x, y - np.sign(offset) * half)
        else:
            half, offset = (right - left) / 2, x - centre_x
            other = sample(frame, x - np.sign(offset) * half, y)
        # A soft cut in the middle: the halves are limbs put elsewhere, not a picture sawn through.
        seam = smoothstep(np.abs(offset) / max(1.0, 0.16 * half))
        out.append(mix(frame, other, view.strength * seam * np.minimum(1, 1.5 * region)))
    return np.stack(out)


def frozen(view: View) -> np.ndarray:
    """The region lags behind the world around it; at strength 1 it stands still."""
    hang = max(0, view.start - _LEAD_FRAMES)
    return _from_other_times(view, lambda time: hang)


def reversed_(view: View) -> np.ndarray:
    """The region runs backwards while the world goes on; strength is how much of the way back it goes."""
    hang = max(0, view.start - _LEAD_FRAMES)
    # A clip that is too short behind the start runs forth again from its first frame.
    return _from_other_times(view, lambda time: abs(hang - (time - view.start)))


def _from_other_times(view: View, source_of) -> np.ndarray:
    out = []
    for position, region in enumerate(view.region):
        time = view.start + position
        source = round(time + view.strength * (source_of(time) - time))
        source = min(source, len(view.clip) - 1)
        out.append(mix(view.frame(position), view.clip[source].astype(np.float32), np.minimum(1, 1.5 * region)))
    return np.stack(out)


def _main_axis(view: View) -> np.ndarray:
    """The direction (x, y) of length 1 along which what moves in the region extends most."""
    moments = np.zeros((2, 2))
    for position in range(0, len(view) - 1, 3):
        moving = np.abs(gray(view.clip[view.start + position + 1]) - gray(view.clip[view.start + position]))
        weight = np.maximum(moving - 6, 0) * view.region[position]
        centre_x, centre_y = view.centre(position)
        dx, dy = np.arange(view.shape[1]) - centre_x, np.arange(view.shape[0]) - centre_y
        xx, yy = (weight * dx**2).sum(), (weight * dy[:, None] ** 2).sum()
        xy = (weight * dx * dy[:, None]).sum()
        moments += [[xx, xy], [xy, yy]]
    axis = np.linalg.eigh(moments)[1][:, 1] if moments.any() else np.array([0.0, 1.0])
    return axis if axis[1] >= 0 else -axis


EFFECTS: dict[str, Effect] = {"bent": bent, "swapped": swapped, "frozen": frozen, "reversed": reversed_}
"""Variant → effect."""
