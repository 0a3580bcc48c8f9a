"""A drawn scene: a backdrop, people and props that move, and a camera, each known at every frame.

The scene is a model first and a picture second, so that a defect can be put into the model before it is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.synthesis.backdrop import Backdrop, random_backdrop
from artifactscan.synthesis.drawing import draw_parts, make_shadow
from artifactscan.synthesis.figure import Figure, random_surfaces
from artifactscan.synthesis.props import Prop, PropKind, random_prop
from artifactscan.synthesis.scene_faults import Fault

MIN_SIDE = 32
"""Pixels; in smaller frames a limb is thinner than a pixel."""
_CAMERA_REACH = 0.16
"""Frame heights that the camera may move away from its first place."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """A scene that can be drawn frame by frame, the same for the same seed and size."""

    height: int
    width: int
    frames: int
    fps: float
    backdrop: Backdrop
    actors: tuple[Figure | Prop, ...]
    """Back to front; actor ``i`` has the number ``i + 1`` in the masks."""
    camera: np.ndarray
    """complex128, (frames,): the place of the frame's top left corner, in frame heights."""
    grain: float
    """Deviation of the sensor's noise, in levels of 255."""
    seed: int

    def clip(self) -> np.ndarray:
        """All frames, with nothing wrong: uint8 RGB, (frames, height, width, 3); drawn once, read-only."""
        return self._drawn[0]

    def masks(self) -> np.ndarray:
        """uint8, (frames, height, width): the number of the actor that each pixel shows, 0 for the backdrop."""
        return self._drawn[1]

    def draw(self, frame: int, faults: Mapping[int, Sequence[Fault]] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One frame, uint8 RGB, (height, width, 3), and its mask, uint8, (height, width).

        ``faults``: actor → what is wrong with it, applied in order.
        """
        camera, time_s = complex(self.camera[frame]), frame / self.fps
        canvas = self.backdrop.seen(camera, self.height, self.width)
        owners = np.zeros((self.height, self.width), np.uint8)
        for number, actor in enumerate(self.actors):
            mine = (faults or {}).get(number, ())
            if isinstance(actor, Figure):
                pose = actor.pose(time_s)
                for fault in mine:
                    pose = fault.change_pose(frame, pose)
                ground, parts = pose.ground, actor.parts(pose)
            else:
                ground, parts = actor.ground(time_s), actor.parts(time_s)
            for fault in mine:
                parts = fault.change_parts(frame, parts)
            draw_parts(canvas, [make_shadow(ground, actor.shadow), *parts], camera, self.height, owners, number + 1)
        # The same noise in the clean and the defective twin: only the defect differs.
        shift = np.random.default_rng((self.seed, 7, frame)).integers(0, (self.height, self.width))
        canvas += np.roll(self._noise, shift, axis=(0, 1))
        return np.clip(canvas + 0.5, 0, 255).astype(np.uint8), owners

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.empty((self.frames, self.height, self.width, 3), np.uint8)
        masks = np.empty((self.frames, self.height, self.width), np.uint8)
        for frame in range(self.frames):
            pictures[frame], masks[frame] = self.draw(frame)
        pictures.flags.writeable = masks.flags.writeable = False
        return pictures, masks

    @cached_property
    def _noise(self) -> np.ndarray:
        noise = np.random.default_rng((self.seed, 8)).normal(0, self.grain, (self.height, self.width, 1))
        return noise.astype(np.float32)


def random_scene(seed: int, *, height: int, width: int, seconds: float, fps: float) -> Scene:
    """A scene with one or two people and some props.

    ``height`` and ``width`` in pixels, at least MIN_SIDE; UsageError for sizes and lengths that cannot be drawn.
    """
    if min(height, width) < MIN_SIDE:
        raise UsageError(f"a scene of {width}x{height} pixels is too small to draw; give at least {MIN_SIDE} each way")
    if not (seconds > 0 and fps > 0 and round(seconds * fps) >= 1):
        raise UsageError(f"a scene of {seconds} seconds at {fps} frames per second has no frame; give more of either")
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative; give 0 or more")
    rng = np.random.default_rng((seed, 1))
    frames, aspect = round(seconds * fps), width / height
    backdrop = random_backdrop(rng, height, width, reach=_CAMERA_REACH)
    kinds: tuple[PropKind, ...] = ("ball", "crate", "tree") if backdrop.outdoors else ("ball", "crate")
    actors: list[Figure | Prop] = []
    for index in rng.permutation(len(kinds))[: rng.integers(1, 4)]:
        depth = rng.uniform(0.15, 0.5) if kinds[index] == "tree" else rng.uniform(0.45, 0.95)
        start = complex(rng.uniform(0.12, 0.88) * aspect, _ground_level(backdrop, depth))
        actors.append(random_prop(rng, kinds[index], start, near=_nearness(depth), seconds=seconds))
    for _ in range(rng.integers(1, 3)):
        actors.append(_random_figure(rng, backdrop, aspect, seconds))
    return Scene(
        height=height,
        width=width,
        frames=frames,
        fps=fps,
        backdrop=backdrop,
        actors=tuple(sorted(actors, key=lambda actor: actor.start.imag)),
        camera=_random_camera_path(rng, np.arange(frames) / fps),
        grain=float(rng.uniform(0.5, 2.5)),
        seed=seed,
    )


def _ground_level(backdrop: Backdrop, depth: float) -> float:
    """How far down in the frame the ground is at a depth: 0 at the horizon, 1 in front."""
    return backdrop.horizon + (0.97 - backdrop.horizon) * depth


def _nearness(depth: float) -> float:
    """How large things are at a depth, 1 in front."""
    return 0.45 + 0.55 * depth


def _random_figure(rng: np.random.Generator, backdrop: Backdrop, aspect: float, seconds: float) -> Figure:
    depth, stride_s = rng.uniform(0.45, 0.95), float(rng.uniform(0.9, 1.3))
    tall = float(rng.uniform(0.68, 0.86)) * _nearness(depth)
    # Two easy steps are about half of one's height; slower where the clip is long, to stay in the picture.
    speed = min(float(rng.uniform(0.3, 0.65)) * tall / stride_s, 0.75 * aspect / max(seconds, 1e-6))
    speed *= 1 if rng.random() < 0.5 else -1
    middle = aspect * (0.5 + rng.uniform(-0.3, 0.3) * (1 - abs(speed) * seconds / aspect))
    return Figure(
        height=tall,
        start=complex(middle - speed * seconds / 2, _ground_level(backdrop, depth)),
        speed=speed,
        stride_s=stride_s,
        phase=float(rng.random()),
        surfaces=random_surfaces(rng),
    )


def _random_camera_path(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Still, panning or held in the hand: complex128, (frames,), within _CAMERA_REACH."""
    pan, sway = ((0, 0), (rng.uniform(-0.06, 0.06), 0), (0, 0.006))[rng.integers(3)]
    path = pan * (time_s - time_s.mean()) + sway * np.sin(2 * np.pi * (0.8 * time_s + rng.random()))
    reach = 0.99 * _CAMERA_REACH
    return np.clip(path, -reach, reach) + 1j * sway * np.sin(2 * np.pi * (1.1 * time_s + rng.random()))
