"""Reads a few frames of a few clips, to set the ranges of a quantised graph by and to measure it on."""

from contextlib import closing
from heapq import nsmallest
from random import Random
from typing import Any

import numpy as np

from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.errors import UsageError

FEWEST_CLIPS = 4
FRAMES_PER_CLIP = 8


def read_clips(corpus: str, input_spec: InputSpec, *, clips: int, sample_fps: float) -> list[np.ndarray]:
    """Frames of up to ``clips`` videos of a corpus, at most FRAMES_PER_CLIP of each: uint8 RGB (n, height, width, 3).

    Drawn from the whole listing; of each the first frames, as a checkpoint that looks at neighbours takes them.
    Videos without a frame are left out; UsageError where fewer than FEWEST_CLIPS are left.
    """
    settings = DecodeSettings(input=input_spec, sample_fps=sample_fps, segment_frames=FRAMES_PER_CLIP)
    found: list[np.ndarray] = []
    with SandboxedDecoder(settings) as decoder:
        reader = VideoReader(decoder, max_object_bytes=settings.limits.max_object_bytes)
        for row in _draw(corpus, clips):
            with closing(reader.read([row])) as segments:  # the rest of a long video is not decoded
                _, first = next(segments)
            if first.frame_index:
                found.append(first.frames()[first.own].copy())
        reader.close()
    if len(found) < FEWEST_CLIPS:
        raise UsageError(
            f"--calibrate {corpus} has {len(found)} videos with frames; give a corpus like the one to score, with "
            f"{FEWEST_CLIPS} or more"
        )
    return found


def _draw(corpus: str, clips: int) -> list[dict[str, Any]]:
    """Rows of ``clips`` videos of a corpus of any size, the same each time."""
    rng, drawn = Random(0), []
    for batch in list_corpus(corpus, ListSettings()):
        for row in batch.to_pylist():
            drawn.append((rng.random(), row))
            if len(drawn) > 2 * clips:
                drawn = nsmallest(clips, drawn, key=lambda one: one[0])
    return [row for _, row in nsmallest(clips, drawn, key=lambda one: one[0])]
