"""Jointed figures that walk, wave or dance: a pose per frame, and the parts that clothe it.

Walking keeps each foot planted while it bears weight, so that a foot that slides is a defect and not the drawing.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from artifactscan.synthesis.drawing import Part, limb
from artifactscan.synthesis.patterns import Pattern, cloth, plain, random_colour, skin

Action = Literal["walk", "wave", "dance"]

# Lengths as shares of the figure's height; an ordinary adult.
_HIP, _SHOULDER, _NECK, _HEAD = 0.53, 0.80, 0.84, 0.925
_HEAD_RADIUS = 0.062
_THIGH, _SHANK, _FOOT = 0.255, 0.245, 0.075
_UPPER_ARM, _FOREARM = 0.165, 0.15
_STANCE = 0.6
"""Share of a stride for which a foot is on the ground."""


@dataclass(frozen=True)
class Limb:
    """An arm (shoulder, elbow, hand) or a leg (hip, knee, ankle); places in frame heights, x + y · i."""

    root: complex
    joint: complex
    tip: complex

    def moved(self, by: complex) -> "Limb":
        return Limb(self.root + by, self.joint + by, self.tip + by)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a figure's joints are in one frame. The second arm and leg are the nearer ones."""

    ground: complex
    """Under the figure, on the ground."""
    pelvis: complex
    neck: complex
    head: complex
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    facing: int
    """1 to the right, -1 to the left, 0 to the viewer."""
    extra_arms: tuple[Limb, ...] = ()
    """Arms that nobody has."""

    def moved(self, by: complex) -> "Pose":
        return replace(
            self,
            ground=self.ground + by.real,
            pelvis=self.pelvis + by,
            neck=self.neck + by,
            head=self.head + by,
            arms=tuple(arm.moved(by) for arm in self.arms),
            legs=tuple(leg.moved(by) for leg in self.legs),
            extra_arms=tuple(arm.moved(by) for arm in self.extra_arms),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Clothes:
    """What a figure wears, and how broad it is."""

    skin: Pattern
    shirt: Pattern
    trousers: Pattern
    shoes: Pattern
    hair: Pattern
    breadth: float
    """1 is ordinary."""
    bare_arms: bool
    skirt: bool
    long_hair: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Figure:
    """A person in a scene."""

    action: Action
    height: float
    """Frame heights."""
    start: complex
    """Where it stands at time 0, on the ground."""
    speed: float
    """Frame heights per second, to the right; 0 unless it walks."""
    stride_s: float
    """Seconds for two steps, or for one wave of the hand."""
    phase: float
    """0..1: where in its cycle it begins."""
    clothes: Clothes

    def ground(self, time_s: float) -> complex:
        """Where it stands."""
        return self.start + self.speed * time_s

    def pose(self, time_s: float) -> Pose:
        """The joints at a time in seconds."""
        return self._walking(time_s) if self.action == "walk" else self._standing(time_s)

    def parts(self, pose: Pose) -> list[Part]:
        """The figure in that pose, back to front."""
        return _clothed(pose, self.clothes, self.height)

    def _walking(self, time_s: float) -> Pose:
        tall, facing = self.height, 1 if self.speed >= 0 else -1
        cycle = self.phase + time_s / self.stride_s
        ground = self.ground(time_s)
        stride = abs(self.speed) * self.stride_s
        # Legs too short for their stride lower the hip: never more than they can reach.
        reach = 0.5 * _STANCE * stride
        hip_height = min(
            _HIP * tall, np.sqrt(max(((_THIGH + _SHANK) * tall) ** 2 - reach**2, 0.0)) * 0.985 + 0.04 * tall
        )
        bob = 0.008 * tall * np.cos(4 * np.pi * cycle)
        pelvis = ground - 1j * (hip_height + bob)
        lean = 0.03 * tall * facing
        neck = pelvis + lean - 1j * (_NECK - _HIP) * tall
        shoulder = pelvis + 0.9 * lean - 1j * (_SHOULDER - _HIP) * tall
        head = neck + 0.012 * tall * facing - 1j * (_HEAD - _NECK) * tall
        legs, arms = [], []
        for side in (0.0, 0.5):
            share = (cycle + side) % 1
            ahead, lift = _foot(share, stride, tall)
            ankle = ground + facing * ahead - 1j * (0.04 * tall + lift)
            legs.append(_bent_limb(pelvis, ankle, _THIGH * tall, _SHANK * tall, -facing))
            swing = 0.5 * np.sin(2 * np.pi * (cycle + side + 0.55))
            elbow = shoulder + _UPPER_ARM * tall * _down(swing * facing)
            hand = elbow + _FOREARM * tall * _down((swing + 0.35 + 0.25 * max(0.0, swing)) * facing)
            arms.append(Limb(shoulder, elbow, hand))
        return Pose(
            ground=ground,
            pelvis=pelvis,
            neck=neck,
            head=head,
            arms=(arms[0], arms[1]),
            legs=(legs[0], legs[1]),
            facing=facing,
        )

    def _standing(self, time_s: float) -> Pose:
        tall, ground = self.height, self.start
        turn = 2 * np.pi * (self.phase + time_s / self.stride_s)
        dancing = self.action == "dance"
        sway = (0.05 if dancing else 0.012) * tall * np.sin(turn / (1 if dancing else 2))
        dip = 0.03 * tall * (1 - np.cos(2 * turn)) / 2 if dancing else 0.0
        pelvis = ground + sway - 1j * (_HIP * tall * 0.985 - dip)
        neck = pelvis - 0.3 * sway - 1j * (_NECK - _HIP) * tall
        head = neck - 0.15 * sway - 1j * (_HEAD - _NECK) * tall
        legs, arms = [], []
        for side in (-1, 1):
            hip = pelvis + side * 0.045 * tall
            ankle = ground + side * (0.085 if dancing else 0.06) * tall - 0.04j * tall
            legs.append(_bent_limb(hip, ankle, _THIGH * tall, _SHANK * tall, -side))
            shoulder = neck + side * 0.095 * self.clothes.breadth * tall + 1j * (_NECK - _SHOULDER) * tall
            if dancing:
                upper, lower = 1.5 + 0.7 * np.sin(turn + side), 2.3 + 0.9 * np.sin(turn + side + 0.8)
            elif side == 1:
                upper, lower = 1.75 + 0.12 * np.sin(turn), 2.9 + 0.55 * np.sin(turn)
            else:
                upper, lower = 0.18 + 0.05 * np.sin(turn / 2), 0.1 + 0.08 * np.sin(turn / 2)
            elbow = shoulder + _UPPER_ARM * tall * _down(side * upper)
            arms.append(Limb(shoulder, elbow, elbow + _FOREARM * tall * _down(side * lower)))
        return Pose(
            ground=ground,
            pelvis=pelvis,
            neck=neck,
            head=head,
            arms=(arms[0], arms[1]),
            legs=(legs[0], legs[1]),
            facing=0,
        )


def random_clothes(rng: np.random.Generator) -> Clothes:
    """Clothes and build of somebody."""
    return Clothes(
        skin=skin(rng),
        shirt=cloth(rng, random_colour(rng)),
        trousers=cloth(rng, random_colour(rng, saturation=0.5, value=(40, 170))),
        shoes=plain(rng, random_colour(rng, saturation=0.4, value=(25, 200))),
        hair=plain(
            rng, np.array([[32, 26, 22], [82, 54, 34], [180, 146, 88], [128, 66, 36]])[rng.integers(4)], uneven=0.25
        ),
        breadth=float(rng.uniform(0.85, 1.2)),
        bare_arms=bool(rng.random() < 0.5),
        skirt=bool(rng.random() < 0.25),
        long_hair=bool(rng.random() < 0.4),
    )


def _down(angle: float) -> complex:
    """The direction ``angle`` radians from straight down towards the right, length 1."""
    return complex(np.sin(angle), np.cos(angle))


def _foot(share: float, stride: float, tall: float) -> tuple[float, float]:
    """How far ahead of the hip and above the ground the ankle is at a ``share`` of the stride."""
    if share < _STANCE:
        return stride * (0.5 * _STANCE - share), 0.0
    swing = (share - _STANCE) / (1 - _STANCE)
    eased = swing * swing * (3 - 2 * swing)
    return stride * _STANCE * (eased - 0.5), 0.09 * tall * float(np.sin(np.pi * swing))


def _bent_limb(root: complex, tip: complex, upper: float, lower: float, bend: int) -> Limb:
    """Two bones from root to tip; ``bend``: the side on which the joint stands out."""
    span = tip - root
    distance = min(max(abs(span), 1e-6), 0.9999 * (upper + lower))
    cosine = np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1)
    direction = span / max(abs(span), 1e-6)
    joint = root + upper * direction * np.exp(1j * bend * np.arccos(cosine))
    return Limb(root, complex(joint), root + direction * distance)


def _clothed(pose: Pose, wear: Clothes, tall: float) -> list[Part]:
    frontal = pose.facing == 0
    far_shade = 0.92 if frontal else 0.72
    parts = [*_arm(pose.arms[0], wear, tall, far_shade)] if not frontal else []
    for leg, shade in zip(pose.legs, (far_shade, 1.0), strict=True):
        parts += _leg(leg, pose.facing, wear, tall, shade)
    broad = (0.098 if frontal else 0.072) * wear.breadth * tall
    spine = pose.neck - pose.pelvis
    if wear.long_hair and frontal:
        parts.append(limb(pose.head, pose.head + 0.13j * tall, 0.066 * tall, wear.hair, taper=1.05))
    parts.append(limb(pose.neck + 0.03j * tall, pose.head, 0.028 * tall, wear.skin, taper=1.0, shade=0.9))
    parts.append(limb(pose.pelvis - 0.02 * spine, pose.pelvis + 0.35 * spine, 0.95 * broad, wear.trousers, taper=0.95))
    parts.append(limb(pose.pelvis + 0.2 * spine, pose.neck - 0.22 * spine, 0.92 * broad, wear.shirt, taper=1.1))
    if wear.skirt:
        parts.append(limb(pose.pelvis + 0.1 * spine, pose.pelvis - 0.42 * spine, broad, wear.trousers, taper=1.35))
    parts += _head(pose, wear, tall)
    for arm in (pose.arms if frontal else pose.arms[1:]) + pose.extra_arms:
        parts += _arm(arm, wear, tall, 1.0)
    return parts


def _arm(arm: Limb, wear: Clothes, tall: float, shade: float) -> list[Part]:
    lower = wear.skin if wear.bare_arms else wear.shirt
    hand = (arm.tip - arm.joint) / max(abs(arm.tip - arm.joint), 1e-6)
    return [
        limb(arm.root, arm.joint, 0.036 * tall, wear.shirt, taper=0.82, shade=shade),
        limb(arm.joint, arm.tip, 0.028 * tall, lower, taper=0.72, shade=shade),
        limb(arm.tip, arm.tip + 0.04 * tall * hand, 0.02 * tall, wear.skin, taper=0.9, shade=shade),
        limb(arm.tip, arm.tip + 0.03 * tall * hand * np.exp(0.7j), 0.009 * tall, wear.skin, shade=shade),
    ]


def _leg(leg: Limb, facing: int, wear: Clothes, tall: float, shade: float) -> list[Part]:
    lower = wear.skin if wear.skirt else wear.trousers
    toe = leg.tip + 0.018j * tall + (facing * _FOOT * tall if facing else 0.012j * tall)
    heel = leg.tip + 0.018j * tall - 0.02 * facing * tall
    return [
        limb(leg.root, leg.joint, 0.056 * tall, wear.trousers, taper=0.74, shade=shade),
        limb(leg.joint, leg.tip, 0.04 * tall, lower, taper=0.66, shade=shade),
        limb(heel, toe, 0.026 * tall, wear.shoes, taper=0.85, shade=shade),
    ]


def _head(pose: Pose, wear: Clothes, tall: float) -> list[Part]:
    radius = _HEAD_RADIUS * tall
    up = (pose.head - pose.neck) / max(abs(pose.head - pose.neck), 1e-6)
    crown = pose.head + up * radius * 0.32 - pose.facing * 0.22 * radius
    dark = replace(wear.hair, picture=np.minimum(wear.hair.picture, 40))

    def oval(centre: complex, long: float, wide: float, pattern: Pattern, gloss: float = 0.3) -> Part:
        return Part(shape="ellipse", centre=centre, along=long * up, half_width=wide, pattern=pattern, gloss=gloss)

    parts = [oval(crown, 1.08 * radius, 1.02 * radius, wear.hair)]
    face = pose.head + pose.facing * 0.14 * radius - up * 0.08 * radius
    parts.append(oval(face, 1.12 * radius, 0.84 * radius, wear.skin))
    parts.append(
        oval(pose.head + up * 0.92 * radius - pose.facing * 0.1 * radius, 0.4 * radius, 0.8 * radius, wear.hair)
    )
    if wear.long_hair and pose.facing:
        back = pose.head - pose.facing * 0.75 * radius
        parts.append(limb(back + 0.3 * radius * up, back - 1.6 * radius * up, 0.45 * radius, wear.hair, taper=0.7))
    for eye in (-0.35, 0.35) if not pose.facing else (0.55 * pose.facing,):
        parts.append(oval(face + eye * radius + 0.14 * radius * up, 0.1 * radius, 0.13 * radius, dark, gloss=0))
    mouth = face + 0.4 * pose.facing * radius - 0.55 * radius * up
    parts.append(oval(mouth, 0.06 * radius, 0.26 * radius, dark, gloss=0))
    return parts
