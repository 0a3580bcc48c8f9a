"""The vocabulary of decoding: its settings, its limits, and what it says of a video."""

from dataclasses import dataclass, field
from importlib.util import find_spec

from artifactscan.decode.input_spec import InputSpec
from artifactscan.outcomes import Outcome

DECODING_VERSION = 2
"""Part of the spec digest: raised whenever the same video and settings would give other pixels or other frames."""

DECODERS: tuple[str, ...] = ("auto", "pyav", "decord")


def decoders_of(choice: str) -> tuple[str, ...]:
    """The decoders that one of DECODERS stands for, in the order in which they are tried.

    auto leaves out decord where it is not installed: it has wheels for Linux on x86-64 only.
    """
    if choice != "auto":
        return (choice,)
    return ("pyav", "decord") if find_spec("decord") else ("pyav",)


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """What one video may cost before it is given up; generated clips are seconds to minutes long."""

    video_timeout_s: float = 300.0
    """Wall-clock seconds one video, or one slice of a long one, may take to decode, both decoders together."""
    child_memory_bytes: int = 4 << 30
    """Address space the decoding process may add to what it needs to start; 8K frames need about 1 GiB."""
    max_pixels: int = 36_000_000
    """Pixels per frame; 8K UHD is 33.2 million."""
    max_video_s: float = 14_400.0
    """Seconds of presentation time: films, which are decoded in slices."""
    max_object_bytes: int = 4 << 30
    """Bytes of the stored object."""


@dataclass(frozen=True)
class Slice:
    """One of the parts that a long video is cut into, so that several processes decode it."""

    number: int = 0
    of: int = 1


WHOLE = Slice()


class NotSliced(Exception):
    """This video is only decoded as a whole; no frame of it was handed on."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """How videos become frames."""

    input: InputSpec
    sample_fps: float = 2.0
    """Sampled frames per second of presentation time."""
    decoder: str = "auto"
    """One of DECODERS; auto is pyav first, decord where pyav fails."""
    segment_frames: int = 64
    """Frames handed on at a time: bounds memory, 64 frames of 224×224 are 9.6 MB."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    slice: Slice = WHOLE
    """Which of its sampled frames are wanted; all slices together give those of the whole."""


@dataclass(kw_only=True)
class VideoFacts:
    """What was learned of one video; the fields are the VIDEO_FACTS columns of the ledger, None where unknown."""

    decoder: str | None = None
    """pyav or decord: which one gave the frames, or was the last to fail."""
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    """Pixels as shown: after rotation."""
    height: int | None = None
    """Pixels as shown: after rotation."""
    rotation_deg: int | None = None
    """Clockwise degrees the container asks a player to turn the coded frames: 0, 90, 180 or 270."""
    fps: float | None = None
    """Average presented frames per second."""
    duration_s: float | None = None
    """From the first frame's time to the end of the last frame."""
    frames_in_video: int | None = None
    """Frames presented, sampled or not."""
    frames_sampled: int | None = None
    """Distinct frames that are on screen at the sampling times."""
    frames_decoded: int | None = None
    """Of those, the ones that came out undamaged."""
    packets_damaged: int | None = None
    """Packets a decoder refused, or that the container marks as corrupt."""
    fetch_s: float | None = None
    """Wall-clock seconds to bring the object here."""
    decode_s: float | None = None
    """Wall-clock seconds to decode it."""


class DecodeError(Exception):
    """No frame can be had from this video; ``outcome`` says of which kind, the message is the ledger's reason."""

    def __init__(self, outcome: Outcome, reason: str, facts: VideoFacts | None = None):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.facts = facts or VideoFacts()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one video ended: its outcome, the reason in words (None when all is well), and the facts."""

    outcome: Outcome
    reason: str | None
    facts: VideoFacts
