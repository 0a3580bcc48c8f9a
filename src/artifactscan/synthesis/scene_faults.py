"""Defects put into a scene's model before it is drawn: wrong limbs, sliding feet, objects that do not stay."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from artifactscan.synthesis.artifact import Artifact
from artifactscan.synthesis.drawing import Part, Pattern
from artifactscan.synthesis.figure import Pose
from artifactscan.synthesis.images import smoothstep


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One defect of one actor."""

    artifact: Artifact
    seed: tuple[int, ...]
    """Of random numbers that are the same in every frame."""

    def change_pose(self, frame: int, pose: Pose) -> Pose:
        """The pose with the defect, in the artifact's frames; any other as it is."""
        fault = POSE_FAULTS.get(self.artifact.variant)
        return fault(pose, *self._arguments(frame)) if fault and self._acts_in(frame) else pose

    def change_parts(self, frame: int, parts: list[Part]) -> list[Part]:
        """The parts with the defect, in the artifact's frames; any other as they are."""
        fault = PARTS_FAULTS.get(self.artifact.variant)
        return fault(parts, *self._arguments(frame)) if fault and self._acts_in(frame) else parts

    def _acts_in(self, frame: int) -> bool:
        return self.artifact.start <= frame < self.artifact.end and self.artifact.strength > 0

    def _arguments(self, frame: int) -> tuple[float, float, np.random.Generator]:
        """Strength 0..1, progress 0..1 and random numbers."""
        progress = (frame - self.artifact.start) / (self.artifact.end - self.artifact.start - 1)
        return self.artifact.strength, progress, np.random.default_rng(self.seed)


def bend(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """A knee or the near elbow turns the way it cannot, by up to 130 degrees."""
    arms, legs = pose.arms.copy(), pose.legs.copy()
    limb, sign = ((legs[0], -1), (legs[1], -1), (arms[1], 1))[rng.integers(3)]
    # Knees bend backwards and elbows forwards; this is the other way.
    angle = sign * pose.facing * np.radians(130) * strength * (0.75 + 0.25 * np.sin(np.pi * progress))
    limb[2] = _turn(limb[2], limb[1], angle)
    return replace(pose, arms=arms, legs=legs)


def swap(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """An arm and a leg change places, and keep moving as they did."""
    arms, legs, side = pose.arms.copy(), pose.legs.copy(), rng.integers(2)
    way = strength * (legs[side, 0] - arms[side, 0])
    arms[side] += way
    legs[side] -= way
    return replace(pose, arms=arms, legs=legs)


def slide(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """The whole body glides over the ground, there and back, while its feet seem to stand."""
    tall = abs(pose.head - pose.ground)
    return pose.moved(pose.facing * 0.55 * tall * strength * np.sin(np.pi * (0.06 + 0.88 * progress)))


def add_arm(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """A third arm parts from the near one, by up to 110 degrees."""
    angle = np.radians(110) * strength * (0.9 + 0.1 * np.sin(4 * np.pi * progress)) * rng.choice([-1, 1])
    return replace(pose, arms=np.vstack([pose.arms, _turn(pose.arms[1], pose.arms[1, 0], angle)]))


def _turn(places: np.ndarray, pivot: complex, angle: float) -> np.ndarray:
    return pivot + (places - pivot) * np.exp(1j * angle)


def vanish(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object fades piece by piece; at strength 1 nothing is left of it at the end."""
    gone = 1.6 * strength * min(1.0, 0.4 + 0.9 * progress)
    order = rng.permutation(len(parts)) / len(parts)
    return [
        replace(part, opacity=part.opacity * (1 - float(smoothstep((gone - rank) / 0.6))))
        for part, rank in zip(parts, order, strict=True)
    ]


def split(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object parts into two of itself."""
    left, right, _, _ = extent(parts)
    far = 0.5 * min(right - left, 0.5) * strength * (0.35 + 0.65 * smoothstep(1.5 * progress))
    way = complex(far, far * rng.uniform(-0.15, 0.15))
    return [part.moved(-way) for part in parts] + [part.moved(way) for part in parts]


def float_up(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object leaves the ground, tilting; its shadow stays."""
    left, right, top, bottom = extent(parts)
    rise = smoothstep(1.5 * progress)
    tilt = complex(np.exp(1j * strength * 0.3 * rise * rng.choice([-1, 1])))
    middle = complex((left + right) / 2, (top + bottom) / 2)
    return [part.turned(middle, tilt).moved(-1j * strength * (0.1 + 0.22 * rise)) for part in parts]


def change(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object becomes another one: other colours, another size."""
    left, right, _, bottom = extent(parts)
    growth, tint = 1 + strength * rng.choice([-0.35, 0.45]), rng.uniform(-60, 60, 3)

    def recolour(pattern: Pattern) -> Pattern:
        other = 255 - pattern.picture[..., ::-1] + tint
        mixed = np.clip(pattern.picture + strength * (other - pattern.picture), 0, 255)
        return replace(pattern, picture=mixed.astype(np.float32))

    recoloured = {id(part.pattern): recolour(part.pattern) for part in parts}
    foot = complex((left + right) / 2, bottom)
    return [replace(part.turned(foot, growth), pattern=recoloured[id(part.pattern)]) for part in parts]


def extent(parts: list[Part]) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the parts, in frame heights."""
    low = [
        part.centre - complex(abs(part.along.real), abs(part.along.imag)) - part.half_width * (1 + 1j) for part in parts
    ]
    high = [2 * part.centre - corner for part, corner in zip(parts, low, strict=True)]
    return min(c.real for c in low), max(c.real for c in high), min(c.imag for c in low), max(c.imag for c in high)


POSE_FAULTS: dict[str, Callable[[Pose, float, float, np.random.Generator], Pose]] = {
    "bent": bend,
    "swapped": swap,
    "sliding": slide,
    "extra": add_arm,
}
"""Motion variant → how it changes a pose."""
PARTS_FAULTS: dict[str, Callable[[list[Part], float, float, np.random.Generator], list[Part]]] = {
    "vanished": vanish,
    "split": split,
    "floating": float_up,
    "changed": change,
}
"""Object variant → how it changes an actor's parts."""
