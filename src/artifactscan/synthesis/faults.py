"""Defects put into a scene's model before it is drawn: wrong limbs, sliding feet, objects that do not stay."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from artifactscan.synthesis.artifact import Artifact
from artifactscan.synthesis.drawing import Part
from artifactscan.synthesis.figure import Limb, Pose
from artifactscan.synthesis.images import ease
from artifactscan.synthesis.patterns import Pattern

PoseFault = Callable[[Pose, float, float, np.random.Generator], Pose]
"""(pose, strength, progress 0..1, random numbers that are the same in every frame) → the wrong pose."""
PartsFault = Callable[[list[Part], float, float, np.random.Generator], list[Part]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One defect of one actor; see scene.Edit."""

    artifact: Artifact
    seed: tuple[int, ...]

    def pose(self, frame: int, pose: Pose) -> Pose:
        """The pose with the defect, in the artifact's frames; any other as it is."""
        fault = POSE_FAULTS.get(self.artifact.variant)
        return fault(pose, *self._arguments(frame)) if fault and self._acts(frame) else pose

    def parts(self, frame: int, parts: list[Part]) -> list[Part]:
        """The parts with the defect, in the artifact's frames; any other as they are."""
        fault = PARTS_FAULTS.get(self.artifact.variant)
        return fault(parts, *self._arguments(frame)) if fault and self._acts(frame) else parts

    def _acts(self, frame: int) -> bool:
        return self.artifact.start <= frame < self.artifact.end and self.artifact.strength > 0

    def _arguments(self, frame: int) -> tuple[float, float, np.random.Generator]:
        progress = (frame - self.artifact.start) / (self.artifact.end - self.artifact.start - 1)
        return self.artifact.strength, progress, np.random.default_rng(self.seed)


def bent(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """A knee or an elbow turns the way it cannot, by up to 130 degrees."""
    which = int(rng.integers(0, 3))
    side = 1 if which < 2 else 0
    leg = which != 1
    limbs = pose.legs if leg else pose.arms
    limb = limbs[side]
    # Knees bend backwards and elbows forwards; this is the other way.
    facing = pose.facing or (1 if side else -1)
    sign = -facing if leg else facing
    angle = sign * np.radians(130) * strength * (0.75 + 0.25 * np.sin(np.pi * progress))
    wrong = Limb(limb.root, limb.joint, limb.joint + (limb.tip - limb.joint) * complex(np.exp(1j * angle)))
    changed = (wrong, limbs[1]) if side == 0 else (limbs[0], wrong)
    return replace(pose, legs=changed) if leg else replace(pose, arms=changed)


def swapped(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """An arm and a leg change places: one grows where the other should."""
    side = int(rng.integers(0, 2))
    arm, leg = pose.arms[side], pose.legs[side]
    way = (leg.root - arm.root) * strength
    # The leg hangs from the shoulder, the arm from the hip; both keep moving as they did.
    arms = tuple(arm.moved(way) if i == side else pose.arms[i] for i in (0, 1))
    legs = tuple(leg.moved(-way) if i == side else pose.legs[i] for i in (0, 1))
    return replace(pose, arms=arms, legs=legs)


def sliding(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """The whole body glides over the ground, there and back, while its feet claim to stand."""
    tall = abs(pose.head - pose.ground)
    ahead = pose.facing or int(rng.choice([-1, 1]))
    return pose.moved(complex(ahead * 0.55 * tall * strength * np.sin(np.pi * (0.06 + 0.88 * progress))))


def extra(pose: Pose, strength: float, progress: float, rng: np.random.Generator) -> Pose:
    """A third arm parts from an arm, by up to 110 degrees."""
    arm = pose.arms[1]
    angle = np.radians(110) * strength * (0.9 + 0.1 * np.sin(4 * np.pi * progress)) * rng.choice([-1, 1])
    turn = complex(np.exp(1j * angle))
    twin = Limb(arm.root, arm.root + (arm.joint - arm.root) * turn, arm.root + (arm.tip - arm.root) * turn)
    return replace(pose, extra_arms=(*pose.extra_arms, twin))


def vanished(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object fades piece by piece; at strength 1 nothing is left of it at the end."""
    order = rng.permutation(len(parts)) / max(1, len(parts))
    gone = strength * min(1.0, 0.4 + 0.9 * progress)
    return [
        replace(part, opacity=part.opacity * (1 - ease((1.6 * gone - float(rank)) / 0.6)))
        for part, rank in zip(parts, order, strict=True)
    ]


def split(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object parts into two of itself."""
    left, right, _, _ = extent(parts)
    far = 0.5 * min(right - left, 0.5) * strength * (0.35 + 0.65 * ease(1.5 * progress))
    tilt = complex(1, rng.uniform(-0.15, 0.15))
    return [part.moved(-far * tilt) for part in parts] + [part.moved(far * tilt) for part in parts]


def floating(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object leaves the ground, tilting; its shadow stays."""
    left, right, top, bottom = extent(parts)
    rise = ease(1.5 * progress)
    high = strength * (0.1 + 0.22 * rise) * (1 + 0.1 * np.sin(6 * progress))
    tilt = complex(np.exp(1j * strength * 0.3 * rise * rng.choice([-1, 1])))
    pivot = complex((left + right) / 2, (top + bottom) / 2)
    return [part.about(pivot, tilt).moved(-1j * high) for part in parts]


def changed(parts: list[Part], strength: float, progress: float, rng: np.random.Generator) -> list[Part]:
    """The object becomes another one: other colours, another size."""
    left, right, _, bottom = extent(parts)
    growth = 1 + strength * (0.45 if rng.random() < 0.5 else -0.35)
    mixes = rng.permutation(3)
    pivot = complex((left + right) / 2, bottom)
    made: dict[int, Pattern] = {}
    for part in parts:
        if id(part.pattern) not in made:
            tint = rng.uniform(-60, 60, 3)
            other = 255 - part.pattern.picture[..., mixes] + tint
            mixed = part.pattern.picture + strength * (other - part.pattern.picture)
            made[id(part.pattern)] = replace(part.pattern, picture=np.clip(mixed, 0, 255).astype(np.float32))
    return [replace(part.about(pivot, growth), pattern=made[id(part.pattern)]) for part in parts]


def extent(parts: list[Part]) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the parts, in frame heights."""
    reach = [
        (part.centre, abs(part.along.real) + part.half_width, abs(part.along.imag) + part.half_width) for part in parts
    ]
    return (
        min(centre.real - x for centre, x, _ in reach),
        max(centre.real + x for centre, x, _ in reach),
        min(centre.imag - y for centre, _, y in reach),
        max(centre.imag + y for centre, _, y in reach),
    )


POSE_FAULTS: dict[str, PoseFault] = {"bent": bent, "swapped": swapped, "sliding": sliding, "extra": extra}
"""Motion variant → fault."""
PARTS_FAULTS: dict[str, PartsFault] = {"vanished": vanished, "split": split, "floating": floating, "changed": changed}
"""Object variant → fault."""
