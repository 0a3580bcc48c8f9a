"""The settings that several jobs share, each flag once; the defaults of limits are those of DecodeLimits.

A job's settings are one frozen dataclass that inherits the groups it needs; flags and a YAML file fill it alike.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from artifactscan.corpus.listing import VIDEO_PATTERNS, ListSettings
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.model.classify_settings import ClassifySettings

MIN_SAMPLE_FPS, MAX_SAMPLE_FPS = 1e-6, 1000.0
"""One frame in eleven days, which is the first frame of any video; and more than any camera."""
MAX_RESAMPLES = 100_000
MAX_NUMBER = 2**53
"""Larger integers lose digits in tables and overflow in C code."""

_LIMIT_NAMES = tuple(field.name for field in fields(DecodeLimits))
_ABOVE_0 = frozenset({*_LIMIT_NAMES, "sample_fps", "segment_frames", "node_cpus", "limit"})
_AT_LEAST_0 = frozenset(
    {"batch_frames", "decode_actors", "classify_actors", "slice_bytes", "node_wait_s", "resamples", "seed"}
    | {"height", "width", "max_failures", "synthetic"}
)
_LIMITS = DecodeLimits()


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "True or False", NoneType: "None"}


def check_settings(settings: object) -> None:
    """UsageError where a setting has a value of another type than its own, or a number out of range."""
    for name, hint in _type_hints(type(settings)).items():
        value, flag = getattr(settings, name), f"--{name.replace('_', '-')}"
        if not _is_instance(value, hint):
            raise UsageError(f"{flag} is {value!r}; give {_describe_type(hint)}")
        if value is None:
            continue
        if name in _ABOVE_0 and not value > 0:
            raise UsageError(f"{flag} is {value}; give a number above 0")
        if name in _AT_LEAST_0 and not value >= 0:
            raise UsageError(f"{flag} is {value}; give 0 or more")
        if name == "resamples" and value > MAX_RESAMPLES:
            raise UsageError(
                f"{flag} is {value}; give at most {MAX_RESAMPLES:,}, as more change no digit that is shown"
            )
        if name == "max_failed" and not 0 <= value <= 1:
            raise UsageError(f"{flag} is {value}; give a share between 0 and 1")
        if isinstance(value, int) and value > MAX_NUMBER:
            raise UsageError(f"{flag} is {value}; give at most {MAX_NUMBER}")
        if name == "sample_fps" and value > MAX_SAMPLE_FPS:
            raise UsageError(f"{flag} is {value}; give at most {MAX_SAMPLE_FPS:g}")


@cache
def _type_hints(settings: type) -> dict[str, Any]:
    hints = get_type_hints(settings)
    return {field.name: hints[field.name] for field in fields(settings)}


def _is_instance(value: object, hint: Any) -> bool:
    """isinstance() for the types that settings have: Literal, tuple of one type, unions and plain types."""
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in arguments
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_instance(one, arguments[0]) for one in value)
    if arguments:
        return any(_is_instance(value, one) for one in arguments)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _describe_type(hint: Any) -> str:
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(arguments)}"
    if get_origin(hint) is tuple:
        return f"a tuple of which each item is {_describe_type(arguments[0])}"
    return " or ".join(_TYPE_NAMES[one] for one in arguments or (hint,))


@dataclass(frozen=True, kw_only=True)
class FilterSettings:
    """Which files of a corpus are taken."""

    include: tuple[str, ...] = VIDEO_PATTERNS
    """Globs of the files to take, against the path below the input or the bare name."""
    exclude: tuple[str, ...] = ()
    """Globs of the files to leave out; wins over --include."""

    def listing(self) -> ListSettings:
        """What to take from the input."""
        return ListSettings(include=self.include, exclude=self.exclude)


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(FilterSettings):
    """A corpus, and how much of it is taken."""

    input: str
    """Folder, single file, s3://, gs:// or az://bucket/prefix, or a .parquet/.csv manifest with a column `uri`."""
    limit: int | None = None
    """Take at most this many files."""
    since: str | None = None
    """Take only files modified at or after this ISO 8601 time, e.g. 2026-11-01 or 2026-11-01T06:00:00+00:00."""
    max_failed: float = 0.05
    """Exit with 1 when more than this share of the videos gives no frame."""

    def listing(self) -> ListSettings:
        """What to take from the input; UsageError for a time that cannot be read."""
        return ListSettings(include=self.include, exclude=self.exclude, limit=self.limit, since=_parse_time(self.since))


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """What one video may cost to decode."""

    video_timeout_s: float = _LIMITS.video_timeout_s
    """Seconds one video may take to decode; the first of two decoders leaves 40 % of them to the second."""
    child_memory_bytes: int = _LIMITS.child_memory_bytes
    """Address space the decoding process may add while decoding."""
    max_pixels: int = _LIMITS.max_pixels
    """Pixels per frame above which a video is too large."""
    max_video_s: float = _LIMITS.max_video_s
    """Seconds of video above which it is too large."""
    max_object_bytes: int = _LIMITS.max_object_bytes
    """Bytes of an object above which it is too large."""

    def limits(self) -> DecodeLimits:
        """The limits of one video."""
        return DecodeLimits(**{name: getattr(self, name) for name in _LIMIT_NAMES})


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(LimitSettings):
    """Which frames of a video are decoded, by which decoder, within which limits."""

    sample_fps: float = 2.0
    """Sampled frames per second of presentation time."""
    decoder: Literal["auto", "pyav", "decord"] = "auto"
    """auto: pyav (the faster), and decord where pyav fails; the ledger says which decoded each video."""


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(SamplingSettings):
    """How decoded frames are handed on."""

    segment_frames: int = 64
    """Frames of one video handed on at a time; bounds memory."""

    def decoding(self, input_spec: InputSpec, *, context_frames: int = 0) -> DecodeSettings:
        """How videos become the frames a checkpoint takes, each segment with ``context_frames`` before and after it."""
        return DecodeSettings(
            input=input_spec,
            sample_fps=self.sample_fps,
            decoder=self.decoder,
            segment_frames=max(self.segment_frames, context_frames),
            context_frames=context_frames,
            limits=self.limits(),
        )


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """What checkpoints run on."""

    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto: cuda where there is a GPU, in this machine or in the cluster; an exported graph runs on the CPU."""
    precision: Literal["auto", "bf16", "fp32", "int8"] = "auto"
    """auto: what is fastest on this hardware and moves no score by 0.01 or more; int8: that of an exported graph."""

    def classifying(self) -> ClassifySettings:
        """How frames become scores."""
        return ClassifySettings(device=self.device, precision=self.precision)


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """How a job joins a Ray cluster."""

    shared_filesystem: bool = False
    """On a cluster of several nodes: local paths lead to one file system that all of them mount."""
    node_wait_s: float = 0.0
    """Seconds to wait for the first nodes of an autoscaler; 0: 15 minutes for that of `ray up`, else none."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings(NodeSettings):
    """How a job that decodes uses a Ray cluster."""

    decode_actors: int = 0
    """Decoding processes; 0: as many as the CPUs allow."""


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text!r} is not an ISO 8601 time; write e.g. 2026-11-01T06:00:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
