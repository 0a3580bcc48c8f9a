"""Settings and limits of decoding, and the result of decoding one video."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal, cast

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import ArtifactscanError
from artifactscan.outcomes import Outcome

DECODING_VERSION = 2
"""Part of the spec digest: raised whenever the same video and settings would give other pixels or other frames.

Not for files that were decoded wrongly and are few, since every stored score would be made anew: see docs/media.md.
"""

DECODERS: tuple[str, ...] = ("auto", "pyav", "decord", "nvdec")


def decoders_to_try(choice: str) -> tuple[str, ...]:
    """The decoders that one of DECODERS stands for, in the order in which they are tried.

    auto leaves out decord where it is not installed: it has wheels for Linux on x86-64 only. What NVDEC cannot decode
    is decoded by pyav.
    """
    if choice == "nvdec":
        return ("nvdec", "pyav")
    if choice != "auto":
        return (choice,)
    return ("pyav", "decord") if find_spec("decord") else ("pyav",)


def decoder_on_cpu(choice: str) -> Literal["auto", "pyav", "decord"]:
    """The decoder that gives the frames of one of DECODERS on a machine without a GPU."""
    return "pyav" if choice == "nvdec" else cast(Literal["auto", "pyav", "decord"], choice)


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """Resources that one video may use; generated clips are seconds to minutes long."""

    video_timeout_s: float = 300.0
    """Wall-clock seconds to decode one video, or one slice of a long one; both decoders together."""
    child_memory_bytes: int = 4 << 30
    """Address space of the decoding process beyond what it needs to start; 8K frames need about 1 GiB."""
    max_pixels: int = 36_000_000
    """Pixels per frame; 8K UHD has 33.2 million."""
    max_video_s: float = 14_400.0
    """Seconds from the first frame to the last that is in the file: enough for films, which are decoded in slices."""
    max_object_bytes: int = 4 << 30
    """Bytes of the stored object."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """How videos become frames."""

    input: InputSpec
    sample_fps: float = 2.0
    """Sampled frames per second of presentation time."""
    decoder: str = "auto"
    """One of DECODERS; auto is pyav first, decord where pyav fails; nvdec is the GPU first, pyav where that fails."""
    segment_frames: int = 64
    """Frames handed on at a time, which limits memory: 64 frames of 224×224 are 9.6 MB."""
    context_frames: int = 0
    """Sampled frames before and after each segment that are handed on with it; at most ``segment_frames``."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)


@dataclass(kw_only=True)
class VideoFacts:
    """Properties of one video, the VIDEO_FACTS columns of the ledger; None where unknown."""

    decoder: str | None = None
    """pyav, decord or nvdec: the one that gave the frames, or the last that failed."""
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    """Square pixels as shown: after cropping, rotation, and the aspect ratio of the pixels."""
    height: int | None = None
    """Square pixels as shown: after cropping, rotation, and the aspect ratio of the pixels."""
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
    """Sampled frames that were decoded without damage."""
    packets_damaged: int | None = None
    """Packets that the decoder refused, or that the container marks as corrupt."""
    fetch_s: float | None = None
    """Wall-clock seconds to fetch the object."""
    decode_s: float | None = None
    """Wall-clock seconds to decode it."""


class DecodeError(ArtifactscanError):
    """No frame of this video could be decoded; the message is the ledger's reason."""

    def __init__(self, outcome: Outcome, reason: str, facts: VideoFacts | None = None):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.facts = facts or VideoFacts()


@dataclass(frozen=True, kw_only=True)
class DecodeResult:
    """Outcome of one video or slice, the reason (None when all is well), and its facts."""

    outcome: Outcome
    reason: str | None
    facts: VideoFacts
