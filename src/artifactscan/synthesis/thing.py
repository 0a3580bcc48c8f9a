"""Objects without joints: balls, crates, cars, trees and lamp posts, each as parts at a time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifactscan.synthesis.drawing import Part, limb
from artifactscan.synthesis.patterns import Pattern, beach_ball, foliage, plain, planks, random_colour

Kind = Literal["ball", "crate", "car", "tree", "lamp"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Thing:
    """An object that stands, rolls, bounces or drives."""

    kind: Kind
    size: float
    """Frame heights: a ball's radius, a crate's half side, a car's half length, half the height of a tree or lamp."""
    start: complex
    """Where it stands on the ground at time 0."""
    speed: float
    """Frame heights per second, to the right."""
    bounce: float
    """Frame heights that a ball jumps; 0 for what rolls or stands."""
    period_s: float
    """Seconds per bounce."""
    patterns: tuple[Pattern, Pattern, Pattern]
    """Main surface, second surface, dark details."""

    def ground(self, time_s: float) -> complex:
        """Where it stands or touches down."""
        return self.start + self.speed * time_s

    def height(self) -> float:
        """Frame heights."""
        return self.size * (0.95 if self.kind == "car" else 2.0)

    def parts(self, time_s: float) -> list[Part]:
        """The object, back to front."""
        ground, size = self.ground(time_s), self.size
        main, second, dark = self.patterns
        if self.kind == "ball":
            share = (time_s / self.period_s) % 1
            centre = ground - 1j * (size + self.bounce * 4 * share * (1 - share))
            spin = np.exp(1j * (self.speed * time_s / size + 0.4))
            return [Part(shape="ellipse", centre=centre, along=size * spin, half_width=size, pattern=main, gloss=0.55)]
        if self.kind == "crate":
            return _crate(ground, size, main, second)
        if self.kind == "car":
            return _car(ground, size, -1 if self.speed < 0 else 1, self.speed * time_s, self.patterns)
        if self.kind == "tree":
            return _tree(ground, size, main, second)
        post = limb(ground, ground - 1.85j * size, 0.035 * size, dark, taper=0.8)
        arm = limb(ground - 1.85j * size, ground + (0.22 - 1.95j) * size, 0.03 * size, dark)
        bulb = Part(
            shape="ellipse",
            centre=ground + (0.26 - 1.9j) * size,
            along=0.11 * size,
            half_width=0.07 * size,
            pattern=second,
        )
        foot = Part(shape="box", centre=ground - 0.05j * size, along=0.1 * size, half_width=0.05 * size, pattern=dark)
        return [post, arm, bulb, foot]


def random_thing(rng: np.random.Generator, kind: Kind, start: complex, *, near: float, seconds: float) -> Thing:
    """An object of that kind; ``near``: how large things are at its depth, 1 in front; it is seen for ``seconds``."""
    low, high = {
        "ball": (0.06, 0.12),
        "crate": (0.08, 0.16),
        "car": (0.26, 0.40),
        "tree": (0.30, 0.42),
        "lamp": (0.3, 0.4),
    }[kind]
    moves = {"ball": 0.9, "car": 0.8, "crate": 0.25}.get(kind, 0.0)
    speed = 0.0
    if rng.random() < moves:
        # Towards the middle, and not out of the picture before the clip is over.
        speed = float(rng.uniform(0.3, 0.9)) / max(1.0, seconds) * (1 if start.real < 0.8 else -1)
    if kind == "ball":
        main = beach_ball(rng)
    elif kind == "tree":
        main = foliage(rng)
    elif kind == "crate":
        main = planks(rng)
    else:
        main = plain(rng, random_colour(rng), uneven=0.04)
    second = {
        "tree": plain(rng, np.array([92, 68, 48]), uneven=0.2),
        "lamp": plain(rng, np.array([250, 236, 190]), uneven=0.02),
        "car": plain(rng, np.array([120, 150, 170]), uneven=0.1),
    }.get(kind) or plain(rng, random_colour(rng, value=(60, 160)))
    return Thing(
        kind=kind,
        size=float(rng.uniform(low, high)) * near,
        start=start,
        speed=speed,
        bounce=float(rng.uniform(0.1, 0.35)) * near if kind == "ball" and rng.random() < 0.6 else 0.0,
        period_s=float(rng.uniform(0.6, 1.1)),
        patterns=(main, second, plain(rng, np.array([38, 38, 42]))),
    )


def _crate(ground: complex, size: float, main: Pattern, second: Pattern) -> list[Part]:
    centre = ground - 1j * size
    bar = {"shape": "box", "pattern": second, "gloss": 0.15}
    parts = [Part(shape="box", centre=centre, along=complex(size), half_width=size, pattern=main, round_=0.06)]
    for sign in (-1, 1):
        parts.append(Part(centre=centre + 0.88j * sign * size, along=complex(size), half_width=0.12 * size, **bar))
        parts.append(Part(centre=centre + 0.88 * sign * size, along=1j * size, half_width=0.12 * size, **bar))
    diagonal = (0.78 + 0.78j) * size
    return [*parts[:1], Part(centre=centre, along=diagonal, half_width=0.1 * size, **bar), *parts[1:]]


def _car(ground: complex, size: float, facing: int, travelled: float, patterns: tuple[Pattern, Pattern, Pattern]):
    main, second, dark = patterns

    def box(x: float, y: float, length: float, half: float, pattern: Pattern, round_: float = 0.4, tilt: float = 0.0):
        return Part(
            shape="box",
            centre=ground + complex(facing * x, -y) * size,
            along=length * size * np.exp(1j * facing * tilt),
            half_width=half * size,
            pattern=pattern,
            round_=round_,
        )

    parts = [
        box(-0.1, 0.62, 0.5, 0.24, main, 0.6),
        box(0.16, 0.64, 0.16, 0.15, second, 0.4),
        box(-0.28, 0.64, 0.22, 0.15, second, 0.4),
        box(0, 0.36, 1.0, 0.2, main, 0.6),
        box(0, 0.22, 0.98, 0.05, dark, 0.5),
        box(0.94, 0.42, 0.05, 0.06, second, 0.9),
    ]
    for x in (-0.6, 0.6):
        hub = ground + complex(facing * x, -0.19) * size
        turn = np.exp(1j * travelled / (0.19 * size))
        parts.append(Part(shape="ellipse", centre=hub, along=0.19 * size * turn, half_width=0.19 * size, pattern=dark))
        parts.append(Part(shape="ellipse", centre=hub, along=0.11 * size * turn, half_width=0.1 * size, pattern=second))
        parts.append(Part(shape="box", centre=hub, along=0.1 * size * turn, half_width=0.025 * size, pattern=dark))
    return parts


def _tree(ground: complex, size: float, leaves: Pattern, bark: Pattern) -> list[Part]:
    parts = [limb(ground, ground - 1.1j * size, 0.09 * size, bark, taper=0.7)]
    for sign in (-1, 1):
        parts.append(limb(ground - 0.8j * size, ground + (0.25 * sign - 1.25j) * size, 0.04 * size, bark))
    for x, y, radius in (
        (-0.32, 1.2, 0.34),
        (0.34, 1.25, 0.33),
        (0.0, 1.15, 0.36),
        (-0.12, 1.55, 0.38),
        (0.16, 1.62, 0.34),
    ):
        parts.append(
            Part(
                shape="ellipse",
                centre=ground + complex(x, -y) * size,
                along=complex(radius * size),
                half_width=0.86 * radius * size,
                pattern=leaves,
                gloss=0.7,
            )
        )
    return parts
