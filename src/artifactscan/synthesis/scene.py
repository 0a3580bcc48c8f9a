"""A drawn scene: a backdrop, figures and things that move, and a camera, each known at every frame.

The scene is a model first and a picture second, so that a defect can be put into the model before it is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.synthesis.backdrop import Backdrop, random_backdrop
from artifactscan.synthesis.drawing import Part, draw_parts, draw_shadow
from artifactscan.synthesis.figure import Action, Figure, Pose, random_clothes
from artifactscan.synthesis.thing import Kind, Thing, random_thing

MIN_SIDE = 32
"""Pixels; in smaller frames a limb is thinner than a pixel."""
_CAMERA_REACH = 0.16
"""Frame heights that the camera may move away from its first place."""


class Edit(Protocol):
    """A change to one actor of a scene before it is drawn."""

    def pose(self, frame: int, pose: Pose) -> Pose:
        """The pose to draw in that frame; called for figures only."""
        ...

    def parts(self, frame: int, parts: list[Part]) -> list[Part]:
        """The parts to draw in that frame."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """A scene that can be drawn frame by frame, the same for the same seed and size."""

    height: int
    width: int
    frames: int
    fps: float
    backdrop: Backdrop
    actors: tuple[Figure | Thing, ...]
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

    def pose(self, actor: int, frame: int) -> Pose:
        """The joints of a figure, before any edit; UsageError where the actor is not a figure."""
        figure = self.actors[actor]
        if not isinstance(figure, Figure):
            raise UsageError(f"actor {actor} of the scene is a {type(figure).__name__.lower()}, it has no joints")
        return figure.pose(frame / self.fps)

    def draw(self, frame: int, edits: Mapping[int, Sequence[Edit]] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One frame, uint8 RGB, (height, width, 3), and its mask, uint8, (height, width).

        ``edits``: actor → changes to its model, applied in order.
        """
        camera = complex(self.camera[frame])
        canvas = self.backdrop.seen(camera, self.height, self.width)
        owners = np.zeros((self.height, self.width), np.uint8)
        for number, actor in enumerate(self.actors):
            mine = (edits or {}).get(number, ())
            parts, ground = self._parts(actor, frame, mine)
            if parts:
                draw_shadow(canvas, ground, _shadow(actor), camera)
            draw_parts(canvas, owners, number + 1, parts, camera, self.height)
        # The same noise in the clean and the defective twin: only the defect differs.
        shift = np.random.default_rng((self.seed, 7, frame)).integers(0, (self.height, self.width))
        canvas += np.roll(self._noise, shift, axis=(0, 1))
        return np.clip(canvas + 0.5, 0, 255).astype(np.uint8), owners

    def _parts(self, actor: Figure | Thing, frame: int, edits: Sequence[Edit]) -> tuple[list[Part], complex]:
        time_s = frame / self.fps
        if isinstance(actor, Figure):
            pose = actor.pose(time_s)
            for edit in edits:
                pose = edit.pose(frame, pose)
            parts, ground = actor.parts(pose), pose.ground
        else:
            parts, ground = actor.parts(time_s), actor.ground(time_s)
        for edit in edits:
            parts = edit.parts(frame, parts)
        return parts, ground

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
        noise = np.random.default_rng((self.seed, 8)).normal(0, 1, (self.height, self.width, 1))
        return (self.grain * noise).astype(np.float32)


def random_scene(seed: int, *, height: int, width: int, seconds: float, fps: float) -> Scene:
    """A scene with one or two figures and some things.

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
    camera = _camera_path(rng, frames, fps)
    actors: list[Figure | Thing] = []
    kinds: tuple[Kind, ...] = ("ball", "crate", "car", "tree", "lamp") if backdrop.outdoors else ("ball", "crate")
    for index in rng.permutation(len(kinds))[: rng.integers(1, 4)]:
        kind = kinds[index]
        ground, near = _place(rng, backdrop.horizon, aspect, far=kind in ("tree", "lamp", "car"))
        actors.append(random_thing(rng, kind, ground, near=near, seconds=seconds))
    for _ in range(rng.integers(1, 3)):
        ground, near = _place(rng, backdrop.horizon, aspect, far=False)
        actors.append(_random_figure(rng, ground, near, aspect, seconds))
    actors.sort(key=lambda actor: actor.start.imag)
    return Scene(
        height=height,
        width=width,
        frames=frames,
        fps=fps,
        backdrop=backdrop,
        actors=tuple(actors),
        camera=camera,
        grain=float(rng.uniform(0.5, 2.5)),
        seed=seed,
    )


def _place(rng: np.random.Generator, horizon: float, aspect: float, *, far: bool) -> tuple[complex, float]:
    """A place on the ground, and how large things are there (1 at the bottom of the frame)."""
    depth = rng.uniform(0.15, 0.5) if far else rng.uniform(0.45, 0.95)
    y = horizon + (0.97 - horizon) * depth
    return complex(rng.uniform(0.12, 0.88) * aspect, y), 0.45 + 0.55 * depth


def _random_figure(rng: np.random.Generator, ground: complex, near: float, aspect: float, seconds: float) -> Figure:
    tall = float(rng.uniform(0.68, 0.86)) * near
    actions: tuple[Action, ...] = ("walk", "walk", "wave", "dance")
    action = actions[rng.integers(len(actions))]
    stride_s = float(rng.uniform(0.9, 1.3))
    speed = 0.0
    if action == "walk":
        # Two easy steps are about half of one's height; slower where the clip is long, to stay in the picture.
        speed = min(float(rng.uniform(0.45, 0.65)) * tall / stride_s, 0.75 * aspect / max(seconds, 1e-6))
        if rng.random() < 0.5:
            speed = -speed
        ground = complex(aspect / 2 - speed * seconds / 2 + rng.uniform(-0.15, 0.15) * aspect, ground.imag)
    return Figure(
        action=action,
        height=tall,
        start=ground,
        speed=speed,
        stride_s=stride_s,
        phase=float(rng.random()),
        clothes=random_clothes(rng),
    )


def _camera_path(rng: np.random.Generator, frames: int, fps: float) -> np.ndarray:
    """Still, panning or held in the hand."""
    time_s = np.arange(frames) / fps
    kind = rng.choice(["still", "pan", "hand"])
    path = np.zeros(frames, np.complex128)
    if kind == "pan":
        path += rng.uniform(-0.06, 0.06) * (time_s - time_s.mean())
    if kind == "hand":
        for speed_hz in (0.35, 0.8, 1.7):
            sway = np.sin(2 * np.pi * (speed_hz * time_s + rng.random())) * 0.004 / speed_hz
            path += sway * np.exp(2j * np.pi * rng.random())
    reach = 0.99 * _CAMERA_REACH
    return np.clip(path.real, -reach, reach) + 1j * np.clip(path.imag, -reach, reach)


def _shadow(actor: Figure | Thing) -> float:
    """Half the length of an actor's shadow, in frame heights."""
    if isinstance(actor, Figure):
        return 0.2 * actor.height
    return actor.size * {"ball": 1.0, "crate": 1.25, "car": 1.15, "tree": 0.7, "lamp": 0.25}[actor.kind]
