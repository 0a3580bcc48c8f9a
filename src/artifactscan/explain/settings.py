"""The settings of the job that explains scores with heat maps."""

import math
from dataclasses import dataclass

from artifactscan.decode.input_spec import MAX_SIDE, InputSpec
from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.decode.video import DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.settings.groups import DeviceSettings, SamplingSettings, check_settings

MAX_FRAMES = 64
"""Frames explained at a time: one row each of the contact sheet."""
DEFAULT_TOP = 4
"""Frames explained where none is named."""


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(SamplingSettings, DeviceSettings):
    """Shows where in a video's frames a checkpoint sees each artifact label, as heat maps over the frames."""

    video: str
    """Path or s3:// uri of one video."""
    output: str
    """Folder or s3://bucket/prefix for the pictures and their index; an earlier explanation there is replaced."""
    checkpoint: str = "builtin"
    """Checkpoint folder, s3:// folder, hf://org/name@revision on a model hub, or `builtin`."""

    frames: tuple[str, ...] = ()
    """Frames by index, e.g. 0,15,30, as the frames table has them."""
    at: tuple[str, ...] = ()
    """Frames by time in seconds, e.g. 1.5,3.0: those that are on screen then."""
    top: int = DEFAULT_TOP
    """Where neither --frames nor --at is given: this many sampled frames, those whose scores are highest above their
    thresholds."""
    labels: tuple[str, ...] = LABELS
    """Labels to explain."""
    max_side: int = 1280
    """Pixels of a picture's longer side; larger videos are shrunk to it, smaller ones keep their size."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not 1 <= self.top <= MAX_FRAMES:
            raise UsageError(f"--top is {self.top}; give a number from 1 to {MAX_FRAMES}")
        if not 1 <= self.max_side <= MAX_SIDE:
            raise UsageError(f"--max-side is {self.max_side}; give a number from 1 to {MAX_SIDE}")
        if (named := len(self.frame_indices()) + len(self.times_s())) > MAX_FRAMES:
            raise UsageError(f"--frames and --at name {named} frames; give at most {MAX_FRAMES}")
        if (self.frames or self.at) and self.top != DEFAULT_TOP:
            raise UsageError(f"--top is {self.top}, and --frames or --at name the frames; leave one of them out")
        if (self.frames or self.at) and not named:
            raise UsageError("--frames and --at name no frame; write e.g. --frames 0,15,30 or --at 1.5,3.0")
        self.label_indices()

    def frame_indices(self) -> tuple[int, ...]:
        """The frames that are named by index, each once, ascending."""
        indices = set()
        for text in _parts(self.frames):
            if not (text.isascii() and text.isdigit()):
                raise UsageError(f"--frames {text!r} is not the index of a frame; write e.g. 0,15,30")
            indices.add(int(text))
        return tuple(sorted(indices))

    def times_s(self) -> tuple[float, ...]:
        """The times that frames are named by, in seconds, each once, ascending."""
        times = set()
        for text in _parts(self.at):
            try:
                time_s = float(text)
            except ValueError:
                time_s = math.nan
            if not 0 <= time_s < math.inf:
                raise UsageError(f"--at {text!r} is not a time in seconds; write e.g. 1.5,3.0")
            times.add(time_s)
        return tuple(sorted(times))

    def label_indices(self) -> tuple[int, ...]:
        """Positions in LABELS of the labels to explain, ascending."""
        names = _parts(self.labels)
        for name in names:
            if name not in LABELS:
                raise UsageError(f"--labels {name!r} is not one of {', '.join(LABELS)}")
        if not names:
            raise UsageError(f"--labels names none; give some of {', '.join(LABELS)}")
        return tuple(index for index, label in enumerate(LABELS) if label in names)

    def decoding(self, input_spec: InputSpec) -> DecodeSettings:
        """How the video becomes the frames a checkpoint takes: every frame where some are named."""
        named = self.frames or self.at
        return DecodeSettings(
            input=input_spec,
            sample_fps=EVERY_FRAME_FPS if named else self.sample_fps,
            decoder=self.decoder,
            limits=self.limits(),
        )


def _parts(texts: tuple[str, ...]) -> list[str]:
    """What stands between commas or spaces."""
    return [part for text in texts for part in text.replace(",", " ").split()]
