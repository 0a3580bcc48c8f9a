"""Decodes each video at its native resolution, by the same child processes that decode at a checkpoint's size.

A child process decodes to one fixed size. So the first frame of a video is decoded to find its size; then a child of
that size, which is kept for the next video of the same size, decodes the video.
"""

from collections.abc import Iterator
from dataclasses import replace

from artifactscan.decode.input_spec import MAX_SIDE, InputSpec
from artifactscan.decode.sandbox.protocol import frames_within
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.slices import WHOLE, Slice
from artifactscan.decode.video import DecodeSettings
from artifactscan.outcomes import HAS_FRAMES

SEGMENT_BYTES = 32 << 20
"""Pixels handed on at a time; segments of large frames have fewer frames."""

_PROBE_INPUT = InputSpec(height=16, width=16)
"""Nearly free to scale to."""
_FIRST_FRAME_FPS = 1e-5
"""Samples only the first frame of any video shorter than a day."""


class NativeResolutionDecoder:
    """Decodes videos at the size they are shown at, at most MAX_SIDE pixels a side; ``settings.input`` is not used."""

    def __init__(self, settings: DecodeSettings, *, nice: int = 0):
        self._settings, self._nice = settings, nice
        probe = replace(settings, input=_PROBE_INPUT)
        # The second probe decodes all sampled frames, for videos whose first frame is damaged.
        self._probes = [
            SandboxedDecoder(replace(probe, sample_fps=_FIRST_FRAME_FPS), nice=nice),
            SandboxedDecoder(probe, nice=nice),
        ]
        self._child: SandboxedDecoder | None = None
        self._size = (0, 0)

    def decode(self, path: str, slice: Slice = WHOLE) -> Iterator[Segment]:
        """Yields the segments of the video in the local file ``path`` as SandboxedDecoder does."""
        for probe in self._probes:
            *_, last = probe.decode(path)
            assert last.result is not None
            if last.result.outcome in HAS_FRAMES:
                break
        else:
            yield last
            return
        facts = last.result.facts
        assert facts.height is not None and facts.width is not None
        yield from self._child_of_size(*fit_within(facts.height, facts.width)).decode(path, slice)

    def close(self) -> None:
        """Kills the child processes."""
        for process in [*self._probes, *filter(None, [self._child])]:
            process.close()

    def _child_of_size(self, height: int, width: int) -> SandboxedDecoder:
        if self._child is None or self._size != (height, width):
            if self._child is not None:
                self._child.close()
            self._child = SandboxedDecoder(settings_for_size(self._settings, height, width), nice=self._nice)
            self._size = (height, width)
        return self._child


def settings_for_size(settings: DecodeSettings, height: int, width: int) -> DecodeSettings:
    """``settings`` for frames of that size in pixels, with segments of at most SEGMENT_BYTES or one frame."""
    sized = replace(settings, input=InputSpec(height=height, width=width))
    return replace(sized, segment_frames=min(settings.segment_frames, frames_within(SEGMENT_BYTES, sized)))


def fit_within(height: int, width: int, max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Height and width in pixels, shrunk together so that neither side is over ``max_side``."""
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
