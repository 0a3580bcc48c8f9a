"""Reads a few frames of a few clips, to set the ranges of a quantised graph by and to measure it on."""

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

    Spread over the listing; of each the first frames, as a checkpoint that looks at neighbouring frames takes them.
    Videos without a frame are left out; UsageError where fewer than FEWEST_CLIPS are left.
    """
    settings = DecodeSettings(input=input_spec, sample_fps=sample_fps, segment_frames=FRAMES_PER_CLIP)
    listed = [row for batch in list_corpus(corpus, ListSettings()) for row in batch.to_pylist()]
    spread = np.linspace(0, len(listed) - 1, min(clips, len(listed))).round().astype(int)
    rows = [listed[number] for number in spread]
    found: dict[str, np.ndarray] = {}
    with SandboxedDecoder(settings) as decoder:
        reader = VideoReader(decoder, max_object_bytes=settings.limits.max_object_bytes)
        for row, segment in reader.read(rows):
            if segment.index == 0 and segment.frame_index:
                found[row["video_id"]] = segment.frames()[segment.own].copy()
    if len(found) < FEWEST_CLIPS:
        raise UsageError(
            f"--calibrate {corpus} has {len(found)} videos with frames; give a corpus like the one to score, with "
            f"{FEWEST_CLIPS} or more"
        )
    return list(found.values())
