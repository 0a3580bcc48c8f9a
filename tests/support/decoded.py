"""What the tests of decoding share: a clip decoded to its frames, and held against a full decode."""

from pathlib import Path

import numpy as np
import pytest

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeError, DecodeLimits, DecodeSettings, VideoFacts
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav

SETTINGS = DecodeSettings(input=InputSpec(height=48, width=80))
H264 = {"g": "24", "bf": "3", "x264-params": "b-pyramid=normal:ref=4"}

Frames = list[tuple[int, float, np.ndarray]]


def decode(path: Path, decode_settings: DecodeSettings = SETTINGS, *, full: bool = False) -> tuple[Frames, VideoFacts]:
    frames: Frames = []
    facts = (full_decode_pyav if full else decode_pyav)(str(path), decode_settings, lambda *frame: frames.append(frame))
    return frames, facts


def failure(path: Path, limits: DecodeLimits | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as raised:
        decode(path, DecodeSettings(input=SETTINGS.input, limits=limits or DecodeLimits()))
    assert raised.value.facts.decoder == "pyav"
    return raised.value


def assert_identical(path: Path, decode_settings: DecodeSettings = SETTINGS) -> tuple[Frames, VideoFacts]:
    """Selective and full decoding give the same frames, to the bit, and the same facts."""
    frames, facts = decode(path, decode_settings)
    reference, reference_facts = decode(path, decode_settings, full=True)
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in reference]
    for (index, _, pixels), (_, _, expected) in zip(frames, reference, strict=True):
        assert np.array_equal(pixels, expected), f"frame {index} differs"
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
    assert facts == reference_facts
    assert facts.frames_decoded == len(frames)
    return frames, facts
