"""Decoding each video at its own size, by the same child processes that decode at a checkpoint's.

A child decodes to one fixed size. So a look at a video's first frame tells its size, and a child of that size, kept
for the next video that has it too, decodes it.
"""

from collections.abc import Iterator
from dataclasses import replace

from artifactscan.decode.input_spec import MAX_SIDE, InputSpec
from artifactscan.decode.sandbox.protocol import frames_within
from artifactscan.decode.sandbox.supervisor import DecoderProcess, Segment
from artifactscan.decode.video import WHOLE, DecodeSettings, Slice
from artifactscan.outcomes import HAS_FRAMES

SEGMENT_BYTES = 32 << 20
"""Pixels handed on at a time; segments of large frames hold fewer."""

_LOOK = InputSpec(height=16, width=16)
"""Costs next to nothing to scale to."""
_FIRST_FRAME_FPS = 1e-5
"""Samples the first frame alone of anything shorter than a day."""


class NativeSizeDecoder:
    """Decodes videos at the size they are shown at, at most MAX_SIDE pixels a side; no settings' input is used."""

    def __init__(self, settings: DecodeSettings, *, nice: int = 0):
        self._settings, self._nice = settings, nice
        look = replace(settings, input=_LOOK)
        # A damaged first frame says nothing of the others: then all that are sampled are looked at.
        self._looks = [
            DecoderProcess(replace(look, sample_fps=_FIRST_FRAME_FPS), nice=nice),
            DecoderProcess(look, nice=nice),
        ]
        self._child: DecoderProcess | None = None
        self._size = (0, 0)

    def decode(self, path: str, slice: Slice = WHOLE) -> Iterator[Segment]:
        """Yields the segments of the video in the local file ``path`` as DecoderProcess does."""
        for process in self._looks:
            *_, seen = process.decode(path)
            assert seen.verdict is not None
            if seen.verdict.outcome in HAS_FRAMES:
                break
        else:
            yield seen
            return
        facts = seen.verdict.facts
        assert facts.height is not None and facts.width is not None
        yield from self._child_of(*fit(facts.height, facts.width)).decode(path, slice)

    def close(self) -> None:
        """Kills the children."""
        for process in [*self._looks, *filter(None, [self._child])]:
            process.close()

    def _child_of(self, height: int, width: int) -> DecoderProcess:
        if self._child is None or self._size != (height, width):
            if self._child is not None:
                self._child.close()
            self._child = DecoderProcess(at_size(self._settings, height, width), nice=self._nice)
            self._size = (height, width)
        return self._child


def at_size(settings: DecodeSettings, height: int, width: int) -> DecodeSettings:
    """``settings`` with frames of that size, pixels, and no segment over SEGMENT_BYTES unless one frame is."""
    sized = replace(settings, input=InputSpec(height=height, width=width))
    return replace(sized, segment_frames=min(settings.segment_frames, frames_within(SEGMENT_BYTES, sized)))


def fit(height: int, width: int, max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Height and width, pixels, shrunk where need be so that neither side is over ``max_side``."""
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
