"""What a probe reads of a frozen backbone: blocks, tokens, tiles of the frame and neighbouring frames."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from artifactscan.errors import UsageError

Token = Literal["pooled", "class", "mean", "std", "max"]
TOKENS: tuple[Token, ...] = get_args(Token)
MAX_NEIGHBOURS = 8


@dataclass(frozen=True, kw_only=True)
class ProbeSpec:
    """The features of a frame, and which frames' features the linear head sees."""

    blocks: tuple[int, ...] = ()
    """Blocks (stages of a convolutional network) whose outputs are read, from 0; none: the last feature map, after the
    backbone's own final layers."""
    tokens: tuple[Token, ...] = ("pooled",)
    """Read from each output: the class token, and mean, standard deviation and maximum over the patches (pixels of a
    convolutional network's map). ``pooled``, of the last feature map only: what the backbone's own head takes."""
    unit_length: bool = False
    """Whether what is read of a frame or tile is scaled to length 1."""
    components: int = 0
    """Width of a linear projection of all that is read; 0: none."""
    neighbours: int = 0
    """Sampled frames before and after a frame between which the head sees how much the features change."""
    smoothing: float = 0.0
    """Share of a frame's logits that comes from the sampled frames before and after it, half from each."""
    sample_fps: float = 2.0
    """Frames per second at which the neighbours were sampled that the head was fitted to."""
    tiles: tuple[int, int] = (1, 1)
    """Rows and columns that a frame is cut into; each tile goes through the backbone, and the head sees the mean and
    the maximum of their projected features."""

    def __post_init__(self) -> None:
        for name, values in (
            ("blocks", self.blocks),
            ("components", (self.components,)),
            ("neighbours", (self.neighbours,)),
            ("tiles", self.tiles),
        ):
            if any(type(value) is not int for value in values):
                raise UsageError(f"probe {name} is {getattr(self, name)!r}; give whole numbers")
        if type(self.unit_length) is not bool:
            raise UsageError(f"probe unit_length is {self.unit_length!r}; give true or false")
        if any(block < 0 for block in self.blocks) or list(self.blocks) != sorted(set(self.blocks)):
            raise UsageError(f"probe blocks are {list(self.blocks)}; give different numbers from 0, in rising order")
        if not self.tokens or len(set(self.tokens)) < len(self.tokens) or not set(self.tokens) <= set(TOKENS):
            raise UsageError(
                f"probe tokens are {list(self.tokens)}; give one or more of {', '.join(TOKENS)}, each once"
            )
        if self.blocks and "pooled" in self.tokens:
            raise UsageError(
                f"probe blocks {list(self.blocks)} cannot be read with the token pooled, which is of the last feature "
                f"map; give {', '.join(token for token in TOKENS if token != 'pooled')}, or no blocks"
            )
        if self.components < 0:
            raise UsageError(f"probe components is {self.components}; give 0 or more")
        if not 0 <= self.neighbours <= MAX_NEIGHBOURS:
            raise UsageError(f"probe neighbours is {self.neighbours}; give 0 to {MAX_NEIGHBOURS}")
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"probe smoothing is {self.smoothing}; give a share from 0 to below 1")
        if not 0 < self.sample_fps < float("inf"):
            raise UsageError(f"probe sample_fps is {self.sample_fps}; give a number above 0")
        if len(self.tiles) != 2 or min(self.tiles) < 1:
            raise UsageError(f"probe tiles are {list(self.tiles)}; give rows and columns, 1 or more each")

    @property
    def context_frames(self) -> int:
        """Sampled frames before and after a frame that its score depends on."""
        return self.neighbours + (self.smoothing > 0)

    @property
    def tile_count(self) -> int:
        return self.tiles[0] * self.tiles[1]


def parse_probe(values: dict[str, Any] | None) -> ProbeSpec | None:
    """A card's field ``probe``; ValueError for fields or values that a ProbeSpec cannot have."""
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ValueError(f"its probe is {values!r}, not an object")
    if unknown := sorted(values.keys() - {field.name for field in fields(ProbeSpec)}):
        raise ValueError(f"its probe has an unknown field {unknown[0]!r}; upgrade artifactscan, or remove it")
    try:
        lists = {name: tuple(values[name]) for name in ("blocks", "tokens", "tiles") if name in values}
        return ProbeSpec(**{**values, **lists})
    except (UsageError, TypeError) as error:
        raise ValueError(f"its probe cannot be used: {error}") from None
