"""People who walk: a pose at each time, and the parts that show it.

Places are complex numbers: x to the right + y down · i, in frame heights. Walking keeps each foot in place while it
bears weight, so that a foot that slides is a defect and not the drawing.
"""

from dataclasses import dataclass, replace

import numpy as np

from artifactscan.synthesis.drawing import Part, Pattern, make_limb, random_colour, random_pattern
from artifactscan.synthesis.images import fraction

# Lengths as shares of the figure's height; an ordinary adult.
_HIP, _SHOULDER, _NECK, _HEAD = 0.53, 0.80, 0.84, 0.925
_HEAD_RADIUS = 0.062
_THIGH, _SHANK, _ANKLE, _FOOT = 0.255, 0.245, 0.04, 0.075
_UPPER_ARM, _FOREARM = 0.165, 0.15
_STANCE = 0.6
"""Share of a stride for which a foot is on the ground."""
_DARK_SKIN, _LIGHT_SKIN = np.array([88, 56, 40]), np.array([238, 200, 172])
_HAIR = ((32, 26, 22), (82, 54, 34), (180, 146, 88), (128, 66, 36))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pose:
    """Where a figure's joints are in one frame."""

    ground: complex
    """Under the figure, on the ground."""
    pelvis: complex
    neck: complex
    head: complex
    arms: np.ndarray
    """complex128, (2, 3): shoulder, elbow and hand, the far arm first; any further rows are arms that nobody has."""
    legs: np.ndarray
    """complex128, (2, 3): hip, knee and ankle, the far leg first."""
    facing: int
    """1 to the right, -1 to the left."""

    def moved(self, by: float) -> "Pose":
        """Moved to the right."""
        places = ("ground", "pelvis", "neck", "head", "arms", "legs")
        return replace(self, **{name: getattr(self, name) + by for name in places})


@dataclass(frozen=True, eq=False, kw_only=True)
class Figure:
    """A person who walks, seen from the side."""

    height: float
    """Frame heights."""
    start: complex
    """Where it stands at time 0, on the ground."""
    speed: float
    """Frame heights per second, to the right."""
    stride_s: float
    """Seconds for two steps."""
    phase: float
    """0..1: where in its stride it begins."""
    surfaces: dict[str, Pattern]
    """Of skin, hair, shirt, trousers, shoes and eye."""

    @property
    def shadow(self) -> float:
        """Half the length of its shadow, in frame heights."""
        return 0.2 * self.height

    def pose(self, time_s: float) -> Pose:
        """The joints at a time in seconds."""
        tall, facing = self.height, 1 if self.speed >= 0 else -1
        cycle, stride = self.phase + time_s / self.stride_s, abs(self.speed) * self.stride_s
        ground = self.start + self.speed * time_s
        # Legs too short for their stride lower the hip: never more than they can reach.
        reach = np.sqrt(max(((_THIGH + _SHANK) * tall) ** 2 - (0.5 * _STANCE * stride) ** 2, 0.0))
        bob = 0.008 * tall * np.cos(4 * np.pi * cycle)
        pelvis = ground - 1j * (min(_HIP * tall, 0.985 * reach + _ANKLE * tall) + bob)
        lean = 0.03 * tall * facing
        neck = pelvis + lean - 1j * (_NECK - _HIP) * tall
        shoulder = pelvis + 0.9 * lean - 1j * (_SHOULDER - _HIP) * tall
        legs, arms = [], []
        for side in (0.0, 0.5):
            ahead, lift = _place_foot(float(fraction(cycle + side)), stride, tall)
            ankle = ground + facing * ahead - 1j * (_ANKLE * tall + lift)
            legs.append((pelvis, _find_knee(pelvis, ankle, _THIGH * tall, _SHANK * tall, -facing), ankle))
            swing = 0.5 * np.sin(2 * np.pi * (cycle + side + 0.55))
            elbow = shoulder + _UPPER_ARM * tall * _hang(swing * facing)
            hand = elbow + _FOREARM * tall * _hang((swing + 0.35 + 0.25 * max(0.0, swing)) * facing)
            arms.append((shoulder, elbow, hand))
        return Pose(
            ground=ground,
            pelvis=pelvis,
            neck=neck,
            head=neck + 0.012 * tall * facing - 1j * (_HEAD - _NECK) * tall,
            arms=np.array(arms),
            legs=np.array(legs),
            facing=facing,
        )

    def parts(self, pose: Pose) -> list[Part]:
        """The figure in that pose, back to front."""
        tall, wear, spine = self.height, self.surfaces, pose.neck - pose.pelvis
        return [
            *self._arm_parts(pose.arms[0], 0.72),
            *self._leg_parts(pose.legs[0], pose.facing, 0.72),
            *self._leg_parts(pose.legs[1], pose.facing, 1.0),
            make_limb(pose.neck + 0.03j * tall, pose.head, 0.028 * tall, wear["skin"], 1.0, 0.9),
            make_limb(pose.pelvis, pose.pelvis + 0.35 * spine, 0.07 * tall, wear["trousers"], 0.95),
            make_limb(pose.pelvis + 0.2 * spine, pose.neck - 0.22 * spine, 0.067 * tall, wear["shirt"], 1.1),
            *self._head_parts(pose),
            *(part for arm in pose.arms[1:] for part in self._arm_parts(arm, 1.0)),
        ]

    def _arm_parts(self, arm: np.ndarray, shade: float) -> list[Part]:
        shoulder, elbow, hand = arm
        tall, ahead = self.height, (hand - elbow) / max(abs(hand - elbow), 1e-6)
        return [
            make_limb(shoulder, elbow, 0.036 * tall, self.surfaces["shirt"], 0.82, shade),
            make_limb(elbow, hand, 0.028 * tall, self.surfaces["shirt"], 0.72, shade),
            make_limb(hand, hand + 0.04 * tall * ahead, 0.022 * tall, self.surfaces["skin"], 0.9, shade),
        ]

    def _leg_parts(self, leg: np.ndarray, facing: int, shade: float) -> list[Part]:
        hip, knee, ankle = leg
        tall, sole = self.height, ankle + 0.018j * self.height
        heel, toe = sole - 0.02 * facing * tall, sole + facing * _FOOT * tall
        return [
            make_limb(hip, knee, 0.056 * tall, self.surfaces["trousers"], 0.74, shade),
            make_limb(knee, ankle, 0.04 * tall, self.surfaces["trousers"], 0.66, shade),
            make_limb(heel, toe, 0.026 * tall, self.surfaces["shoes"], 0.85, shade),
        ]

    def _head_parts(self, pose: Pose) -> list[Part]:
        radius, ahead = _HEAD_RADIUS * self.height, pose.facing
        up = (pose.head - pose.neck) / max(abs(pose.head - pose.neck), 1e-6)
        # Centre, half length and half width in radii of the head.
        ovals = (
            (0.32 * up - 0.22 * ahead, 1.08, 1.02, "hair"),
            (0.14 * ahead - 0.08 * up, 1.12, 0.84, "skin"),
            (0.92 * up - 0.1 * ahead, 0.4, 0.8, "hair"),
            (0.65 * ahead + 0.06 * up, 0.1, 0.13, "eye"),
            (0.55 * ahead - 0.63 * up, 0.06, 0.26, "eye"),
        )
        return [
            Part(
                shape="ellipse",
                centre=pose.head + radius * centre,
                along=radius * length * up,
                half_width=radius * width,
                pattern=self.surfaces[surface],
            )
            for centre, length, width, surface in ovals
        ]


def random_surfaces(rng: np.random.Generator) -> dict[str, Pattern]:
    """Clothes, skin and hair of somebody; see Figure.surfaces."""
    layout = str(rng.choice(["plain", "stripes", "checks", "dots"]))
    return {
        "skin": random_pattern(rng, _DARK_SKIN + (_LIGHT_SKIN - _DARK_SKIN) * rng.uniform(0.05, 1), uneven=0.03),
        "hair": random_pattern(rng, _HAIR[rng.integers(len(_HAIR))], uneven=0.15),
        "shirt": random_pattern(rng, random_colour(rng), layout),
        "trousers": random_pattern(rng, random_colour(rng, saturation=0.5, value=(40, 170))),
        "shoes": random_pattern(rng, random_colour(rng, saturation=0.4, value=(25, 200))),
        "eye": random_pattern(rng, (30, 24, 22)),
    }


def _hang(angle: float) -> complex:
    """The direction ``angle`` radians from straight down towards the right, length 1."""
    return complex(np.sin(angle), np.cos(angle))


def _place_foot(share: float, stride: float, tall: float) -> tuple[float, float]:
    """How far ahead of the hip and above the ground the ankle is at a ``share`` of the stride."""
    if share < _STANCE:
        return stride * (0.5 * _STANCE - share), 0.0
    swing = (share - _STANCE) / (1 - _STANCE)
    eased = swing * swing * (3 - 2 * swing)
    return stride * _STANCE * (eased - 0.5), 0.09 * tall * float(np.sin(np.pi * swing))


def _find_knee(hip: complex, ankle: complex, thigh: float, shank: float, bend: int) -> complex:
    """The knee between hip and ankle; ``bend``: the side on which it stands out."""
    distance = abs(ankle - hip)
    cosine = np.clip((thigh**2 + distance**2 - shank**2) / (2 * thigh * distance), -1, 1)
    return hip + thigh * (ankle - hip) / distance * complex(np.exp(1j * bend * np.arccos(cosine)))
