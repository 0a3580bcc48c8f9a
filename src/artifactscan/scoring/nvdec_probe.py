"""Tries NVDEC before a run on a clip drawn here, and measures what it does to the scores."""

import platform
from dataclasses import replace
from pathlib import Path

import numpy as np

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.demo.clips import write_probe_clip
from artifactscan.errors import UsageError
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE, ClassifySettings

_SAMPLE_FPS = 2.0


def measure_nvdec(checkpoint: Checkpoint, decoding: DecodeSettings, classifying: ClassifySettings) -> str:
    """A sentence for run.json with the largest change of a score, by decoding with NVDEC in place of PyAV, here.

    UsageError where NVDEC does not decode the clip, or moves a score by MAX_SCORE_CHANGE or more.
    """
    from artifactscan.model.classifier import Classifier

    with temporary_folder() as folder:
        clip = write_probe_clip(Path(folder))
        by_nvdec, by_pyav = (_frames(clip, replace(decoding, decoder=decoder)) for decoder in ("nvdec", "pyav"))
    scores = Classifier(checkpoint, classifying).scores([by_nvdec, by_pyav])
    change = float(np.abs(scores[: len(by_nvdec)] - scores[len(by_nvdec) :]).max())
    if not change < MAX_SCORE_CHANGE:  # NaN is no small change
        raise UsageError(
            f"--decoder nvdec moves a score of the probe clip by {change:.3f} on node {platform.node()}, where less "
            f"than {MAX_SCORE_CHANGE} is allowed; use --decoder auto"
        )
    return f"decoded by NVDEC, which moves a score of the probe clip by up to {change:.4f}"


def _frames(clip: Path, decoding: DecodeSettings) -> np.ndarray:
    """The sampled frames, uint8 (n, height, width, 3); UsageError where it took another decoder than was asked for."""
    settings = replace(decoding, sample_fps=_SAMPLE_FPS, context_frames=0)
    with SandboxedDecoder(settings) as decoder:
        segments = list(decoder.decode(str(clip)))
    result = segments[-1].result
    assert result is not None, "the last segment has the result"
    if result.facts.decoder != decoding.decoder or result.reason:
        raise UsageError(
            f"--decoder {decoding.decoder} does not work on node {platform.node()}: {result.reason}; use --decoder auto"
        )
    return np.concatenate([segment.frames() for segment in segments])
