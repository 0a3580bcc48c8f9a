"""Helpers for tests of decoding: the frames of a clip, and a comparison of selective with full decoding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeError, DecodeLimits, DecodeSettings, VideoFacts
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav

SETTINGS = DecodeSettings(input=InputSpec(height=48, width=80))
H264 = {"g": "24", "bf": "3", "x264-params": "b-pyramid=normal:ref=4"}

Decoder = Callable[..., VideoFacts]
Frames = list[tuple[int, float, np.ndarray]]


def decode(
    path: Path, settings: DecodeSettings = SETTINGS, decoder: Decoder = decode_pyav, **options: Slice
) -> tuple[Frames, VideoFacts]:
    frames: Frames = []
    facts = decoder(str(path), settings, lambda *frame: frames.append(frame), **options)
    return frames, facts


def failure(path: Path, limits: DecodeLimits | None = None, decoder: Decoder = decode_pyav) -> DecodeError:
    with pytest.raises(DecodeError) as raised:
        decode(path, DecodeSettings(input=SETTINGS.input, limits=limits or DecodeLimits()), decoder)
    assert raised.value.facts.decoder == decoder.__name__.removeprefix("decode_")
    return raised.value


def assert_identical(path: Path, settings: DecodeSettings = SETTINGS) -> tuple[Frames, VideoFacts]:
    """Asserts that selective and full decoding give the same frames, bit for bit, and the same facts."""
    frames, facts = decode(path, settings)
    reference, reference_facts = decode(path, settings, full_decode_pyav)
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in reference]
    for (index, _, pixels), (_, _, expected) in zip(frames, reference, strict=True):
        assert np.array_equal(pixels, expected), f"frame {index} differs"
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
    assert facts == reference_facts
    assert facts.frames_decoded == len(frames)
    return frames, facts
