"""Objects without joints in a drawn scene: balls, crates and trees, each as parts at a time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifactscan.synthesis.drawing import Part, Pattern, random_colour, random_pattern

PropKind = Literal["ball", "crate", "tree"]
_Shape = Literal["capsule", "ellipse", "box"]

_PIECES: dict[PropKind, tuple[tuple[_Shape, complex, complex, float, int], ...]] = {
    "ball": (("ellipse", -1j, 1, 1, 0),),
    "crate": (
        ("box", -1j, 1, 1, 0),
        ("box", -1j, 0.78 + 0.78j, 0.1, 1),
        *(("box", -1j + 0.88 * side, 0.88j, 0.12, 1) for side in (-1, 1)),
        *(("box", -1j + 0.88j * side, 1, 0.12, 1) for side in (-1, 1)),
    ),
    "tree": (
        ("capsule", -0.55j, -0.55j, 0.08, 1),
        ("ellipse", -0.32 - 1.2j, 0.34, 0.29, 0),
        ("ellipse", 0.34 - 1.25j, 0.33, 0.28, 0),
        ("ellipse", -0.12 - 1.55j, 0.38, 0.33, 0),
        ("ellipse", 0.16 - 1.62j, 0.34, 0.29, 0),
    ),
}
"""Kind → shape, centre, half length, half width and number of the pattern of each part, back to front; lengths are in
sizes of the prop, places from where it stands."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Prop:
    """An object that stands, rolls or bounces."""

    kind: PropKind
    size: float
    """Frame heights: a ball's radius, half a crate's side, half a tree's height."""
    start: complex
    """Where it stands on the ground at time 0."""
    speed: float
    """Frame heights per second, to the right; of balls."""
    bounce: float
    """Frame heights that it jumps."""
    patterns: tuple[Pattern, Pattern]

    @property
    def shadow(self) -> float:
        """Half the length of its shadow, in frame heights."""
        return self.size * (0.7 if self.kind == "tree" else 1.1)

    def ground(self, time_s: float) -> complex:
        """Where it stands or touches down."""
        return self.start + self.speed * time_s

    def parts(self, time_s: float) -> list[Part]:
        """The object, back to front."""
        base = self.ground(time_s) - 1j * self.bounce * abs(np.sin(4 * time_s))
        turn = complex(np.exp(1j * self.speed * time_s / self.size))
        return [
            Part(
                shape=shape,
                centre=base + self.size * centre,
                along=self.size * along * turn,
                half_width=self.size * half_width,
                pattern=self.patterns[pattern],
                gloss=0.15 if shape == "box" else 0.5,
            )
            for shape, centre, along, half_width, pattern in _PIECES[self.kind]
        ]


def random_prop(rng: np.random.Generator, kind: PropKind, start: complex, *, near: float, seconds: float) -> Prop:
    """A prop of that kind; ``near``: how large things are at its depth, 1 in front; it is seen for ``seconds``."""
    speed = bounce = 0.0
    if kind == "ball":
        # Towards the middle, and not out of the picture before the clip is over.
        speed = float(rng.uniform(0.3, 0.9)) / max(1.0, seconds) * (1 if start.real < 0.8 else -1)
        bounce = float(rng.uniform(0.1, 0.35) * rng.integers(2)) * near
    low, high = {"ball": (0.06, 0.12), "crate": (0.08, 0.16), "tree": (0.30, 0.42)}[kind]
    main, second = {
        "ball": (random_pattern(rng, random_colour(rng), "checks"), random_colour(rng)),
        "crate": (random_pattern(rng, (150, 104, 62), "planks", (70, 48, 30)), random_colour(rng, value=(60, 160))),
        "tree": (random_pattern(rng, (84, 128, 50), uneven=0.3), (92, 68, 48)),
    }[kind]
    return Prop(
        kind=kind,
        size=float(rng.uniform(low, high)) * near,
        start=start,
        speed=speed,
        bounce=bounce,
        patterns=(main, random_pattern(rng, second)),
    )
