"""The frames of one video to explain: the video fetched, its frames chosen, decoded and scored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from artifactscan import storage
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.native_resolution import fit_within, settings_for_size
from artifactscan.decode.sampled_indices import sampled_indices
from artifactscan.decode.sampling import EVERY_FRAME_FPS, window
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.errors import CutOffError, UsageError
from artifactscan.explain.frame_pickers import (
    Frame,
    HighestFrames,
    NamedFrames,
    Picker,
    UnknownFrameError,
    pick_frames,
)
from artifactscan.explain.settings import ExplainSettings
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Card
from artifactscan.model.classifier import Classifier
from artifactscan.storage import storage_errors
from artifactscan.storage.fetch import Fetched, FetchError, fetch


@dataclass(frozen=True, kw_only=True)
class ScoredFrame:
    """One frame to explain."""

    seen: Frame
    """At the size the checkpoint takes."""
    shown: Frame
    """At the aspect of the video."""
    scores: np.ndarray
    """float32 (labels,)."""


@contextmanager
def fetched_video(video: str, *, max_object_bytes: int) -> Iterator[tuple[Fetched, str, str]]:
    """The video as a local file, its uri and its video_id; UsageError where it cannot be read."""
    uri = storage.normalise(video)
    try:
        found = storage.stat(uri)
    except FileNotFoundError:
        raise UsageError(f"video {uri} is not there; give the path or s3:// uri of one video") from None
    except OSError as error:
        raise UsageError(f"video {uri} cannot be read: {storage_errors.describe(error, uri)}") from None
    try:
        fetched = fetch(uri, found.etag, found.size_bytes, max_bytes=max_object_bytes)
    except FetchError as error:
        raise UsageError(f"video {uri} cannot be read ({error.outcome}): {error.reason}") from None
    except OSError as error:
        raise CutOffError(f"video {uri} cannot be copied to this machine: {storage_errors.describe(error)}") from None
    with fetched:
        yield fetched, uri, video_id(uri, found.etag)
        if not fetched.still_same():
            raise UsageError(f"video {uri} was written to while it was read; run this again when it is whole")


def scored_frames(
    fetched: Fetched, uri: str, settings: ExplainSettings, card: Card, classifier: Classifier
) -> list[ScoredFrame]:
    """The frames that ``settings`` choose; UsageError where the video has no such frame or cannot be decoded."""
    thresholds = np.array([card.thresholds[label] for label in LABELS])
    labels = list(settings.label_indices())

    def highest_margin(frames: np.ndarray) -> np.ndarray:
        return (classifier.scores(frames) - thresholds)[:, labels].max(axis=1)

    def new_picker() -> Picker:
        if settings.frames or settings.at:
            return NamedFrames(settings.frame_indices(), settings.times_s())
        return HighestFrames(settings.top, highest_margin)

    decoding = settings.decoding(card.input)
    try:
        # The highest frames are scored segment by segment: with the frames around each, as the card asks.
        seen, facts = pick_frames(fetched.path, replace(decoding, context_frames=card.context_frames), new_picker)
        shown = _shown_frames(fetched.path, decoding, facts, [frame.index for frame in seen], settings.max_side)
        scores = _scores(fetched.path, decoding, seen, classifier, settings.sample_fps, card.context_frames)
    except UnknownFrameError as error:
        raise UsageError(f"video {uri} {error}") from None
    except DecodeError as error:
        raise UsageError(f"video {uri} cannot be decoded ({error.outcome}): {error.reason}") from None
    return [ScoredFrame(seen=one, shown=two, scores=row) for one, two, row in zip(seen, shown, scores, strict=True)]


def _scores(
    path: str,
    decoding: DecodeSettings,
    seen: Sequence[Frame],
    classifier: Classifier,
    sample_fps: float,
    neighbours: int,
) -> np.ndarray:
    """float32 (frames, labels): the scores of ``seen``, with the sampled frames around each where the card asks."""
    if not neighbours:
        return classifier.scores(np.stack([frame.pixels for frame in seen]))
    with SandboxedDecoder(replace(decoding, sample_fps=sample_fps)) as decoder:
        sampled = sampled_indices(decoder.decode(path))
    # Cut at the ends of the clip, where scoring has no more frames either.
    windows = [list(dict.fromkeys(window(frame.index, sampled, neighbours))) for frame in seen]
    every = replace(decoding, sample_fps=EVERY_FRAME_FPS)
    needed = sorted({index for indices in windows for index in indices})
    frames, _ = pick_frames(path, every, lambda: NamedFrames(needed))
    pixels = {frame.index: frame.pixels for frame in frames}
    scores = classifier.scores([np.stack([pixels[index] for index in indices]) for indices in windows])
    parts = np.split(scores, np.cumsum([len(indices) for indices in windows])[:-1])
    return np.stack(
        [part[indices.index(frame.index)] for part, indices, frame in zip(parts, windows, seen, strict=True)]
    )


def _shown_frames(
    path: str, decoding: DecodeSettings, facts: VideoFacts, indices: Sequence[int], max_side: int
) -> list[Frame]:
    """The same frames by the same decoder at the video's aspect, neither side over ``max_side`` pixels."""
    assert facts.height and facts.width and facts.decoder
    sized = settings_for_size(
        replace(decoding, decoder=facts.decoder), *fit_within(facts.height, facts.width, max_side)
    )
    frames, _ = pick_frames(path, sized, lambda: NamedFrames(indices))
    return frames
