"""The settings of the jobs that score: frozen dataclasses, filled by flags and by a YAML file alike."""

from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

from artifactscan.corpus.listing import VIDEO_PATTERNS, ListSettings
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.model.classify_settings import ClassifySettings

MAX_SAMPLE_FPS = 1000.0
MAX_NUMBER = 2**53
"""Bytes, frames and files beyond any there are; larger numbers do not go through tables and C code unharmed."""
_LIMITS = DecodeLimits()


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """What every job that scores a corpus is told alike: what to list, how to decode and how to classify."""

    checkpoint: str = "builtin"
    """Checkpoint folder, s3:// folder, or `builtin`."""

    include: tuple[str, ...] = VIDEO_PATTERNS
    """Globs of the files to take, against the path below the input or the bare name."""
    exclude: tuple[str, ...] = ()
    """Globs of the files to leave out; wins over --include."""

    sample_fps: float = 2.0
    """Sampled frames per second of presentation time."""
    decoder: Literal["auto", "pyav", "decord"] = "auto"
    """auto: pyav (the faster), and decord where pyav fails; the ledger says which decoded each video."""
    segment_frames: int = 64
    """Frames of one video handed on at a time; bounds memory."""
    video_timeout_s: float = _LIMITS.video_timeout_s
    """Seconds one video may take to decode; with auto, pyav may use 60 % of them while decord could follow."""
    child_memory_bytes: int = _LIMITS.child_memory_bytes
    """Address space the decoding process may add while decoding."""
    max_pixels: int = _LIMITS.max_pixels
    """Pixels per frame above which a video is too large."""
    max_video_s: float = _LIMITS.max_video_s
    """Seconds of video above which it is too large."""
    max_object_bytes: int = _LIMITS.max_object_bytes
    """Bytes of an object above which it is too large."""

    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto: cuda where the cluster has a GPU."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 where the hardware has it and no score moves by 0.01 or more."""
    compile: bool = False
    """Compile the model (minutes at the start, faster after)."""
    decode_actors: int = 0
    """Decoding processes; 0: as many as the CPUs allow."""
    classify_actors: int = 0
    """Classifying processes; 0: one per GPU, or one on a machine without."""

    slice_bytes: int = 128 << 20
    """Videos of more bytes are cut into slices of about this size, which several processes decode; 0: none is."""
    shared_filesystem: bool = False
    """On a cluster of several nodes: local paths lead to one file system that all of them mount."""
    node_wait_s: float = 0.0
    """Seconds to wait for the first nodes of an autoscaler; 0: 15 minutes for that of `ray up`, else none."""

    quiet: bool = False
    """No progress line."""
    log_format: Literal["text", "json"] = "text"
    """How progress and errors are told on stderr; json: one object a line, with the run."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value is None:
                continue
            if field.name in _POSITIVE and not value > 0:
                raise UsageError(f"{flag} is {value}; give a number above 0")
            if field.name in _NOT_NEGATIVE and value < 0:
                raise UsageError(f"{flag} is {value}; give 0 or more")
            if isinstance(value, int) and value > MAX_NUMBER:
                raise UsageError(f"{flag} is {value}; give at most {MAX_NUMBER}")
        if self.sample_fps > MAX_SAMPLE_FPS:
            raise UsageError(f"--sample-fps is {self.sample_fps}; give at most {MAX_SAMPLE_FPS:g}")

    def listing(self) -> ListSettings:
        """What to take from the input."""
        return ListSettings(include=self.include, exclude=self.exclude)

    def limits(self) -> DecodeLimits:
        """What one video may cost."""
        return DecodeLimits(**{field.name: getattr(self, field.name) for field in fields(DecodeLimits)})

    def decoding(self, input_spec: InputSpec) -> DecodeSettings:
        """How videos become the frames a checkpoint takes."""
        return DecodeSettings(
            input=input_spec,
            sample_fps=self.sample_fps,
            decoder=self.decoder,
            segment_frames=self.segment_frames,
            limits=self.limits(),
        )

    def classifying(self) -> ClassifySettings:
        """How frames become scores."""
        return ClassifySettings(
            batch_frames=self.batch_frames,
            device=self.device,
            precision=self.precision,
            compile=self.compile,
        )


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(ScoringSettings):
    """Scores every video of a corpus for the four artifact labels and leaves Parquet tables."""

    input: str
    """Folder, single file, s3://bucket/prefix, or a .parquet/.csv manifest with a column `uri`."""
    output: str
    """Store to write to: a folder or s3://bucket/prefix."""
    limit: int | None = None
    """Take at most this many files."""
    since: str | None = None
    """Take only files modified at or after this ISO 8601 time, e.g. 2026-11-01 or 2026-11-01T06:00:00+00:00."""
    retry_failed: bool = False
    """Try again the videos that an earlier run found undecodable, timed out, crashed or too large."""
    plan: bool = False
    """Print what would be done, and stop."""
    price_per_hour: tuple[float, ...] = ()
    """With --plan: what an hour of a node costs, of one that decodes and one with a GPU, or of one that does both."""
    node_cpus: int = 16
    """With --plan: CPUs of a node that decodes."""
    max_failed: float = 0.05
    """Exit with 1 when more than this share of the videos has no frame scored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.max_failed <= 1:
            raise UsageError(f"--max-failed is {self.max_failed}; give a share between 0 and 1")
        if len(self.price_per_hour) > 2 or not all(0 <= price < float("inf") for price in self.price_per_hour):
            given = " ".join(map(str, self.price_per_hour))
            raise UsageError(f"--price-per-hour is {given}; give one price or two, of 0 or more")
        self.listing()  # --since is checked here rather than after the first work

    def listing(self) -> ListSettings:
        """What to take from the input."""
        return replace(super().listing(), limit=self.limit, since=_parse_time(self.since))


_POSITIVE = (
    "sample_fps",
    "segment_frames",
    "video_timeout_s",
    "child_memory_bytes",
    "max_pixels",
    "max_video_s",
    "max_object_bytes",
    "node_cpus",
    "limit",
)
_NOT_NEGATIVE = ("batch_frames", "decode_actors", "classify_actors", "slice_bytes", "node_wait_s")


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text!r} is not an ISO 8601 time; write e.g. 2026-11-01T06:00:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def as_record(settings: ScoringSettings) -> dict[str, Any]:
    """The settings as run.json keeps them."""
    return asdict(settings)
