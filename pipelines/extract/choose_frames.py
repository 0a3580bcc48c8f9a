"""Chooses the frames to extract: all, spread out under limits, or by the scores of checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.annotation.frame_index import INDEX
from artifactscan.annotation.selection import choose, disagreement, join_scores, uncertainty
from artifactscan.extract.extraction_tables import make_work
from artifactscan.extract.settings import ExtractSettings
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.messages.console import console
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.pipelines.extract.extractor import FrameExtractor
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import stored_frames, stored_verdicts

_FRAME_COLUMNS = ("video_id", "frame_index", "pts_s")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The frames to write, and the outcomes of videos that may have none among them."""

    frames: pa.Table | None
    """INDEX columns video_id, frame_index, value and scores; None for every sampled frame."""
    verdicts: dict[str, dict[str, Any]]
    """video_id → outcome, reason and facts, of every video whose frames are known already."""


def choose_frames(
    settings: ExtractSettings, checkpoints: Mapping[str, Checkpoint], listing: pa.Table, extractor: FrameExtractor
) -> Choice:
    """Chooses frames of the listed videos. ``checkpoints``: source → checkpoint."""
    if checkpoints:
        return _by_scores(settings, checkpoints, listing)
    if not settings.selection().restrict:
        return Choice(frames=None, verdicts={})
    videos = extractor.list_frames(make_work(listing, None))
    rows = [{"video_id": video["video_id"], **frame} for video in videos for frame in video["frames"]]
    frames = pa.Table.from_pylist(rows, pa.schema([INDEX.field(column) for column in _FRAME_COLUMNS]))
    return Choice(frames=choose(frames, settings.selection()), verdicts={video["video_id"]: video for video in videos})


def _by_scores(settings: ExtractSettings, checkpoints: Mapping[str, Checkpoint], listing: pa.Table) -> Choice:
    """Scores the corpus with each checkpoint, except what the store holds already, and chooses by the scores."""
    from artifactscan.pipelines.score.run import as_usage_errors, print_checkpoint_quality, score_corpus

    tables, verdicts = [], {}
    videos = listing["video_id"].combine_chunks()
    for source, checkpoint in checkpoints.items():
        scoring = settings.scoring(source)
        print_checkpoint_quality(source, checkpoint, console())
        with as_usage_errors():
            spec = score_corpus(scoring, checkpoint, console()).request.spec.digest
        store = Store(storage.normalise(scoring.output))
        tables.append(stored_frames(store, store.runs_of(spec), videos))
        verdicts = stored_verdicts(store, spec, videos) | verdicts
    frames, scores = join_scores(tables)
    values = None
    if settings.choose == "uncertain":
        values = uncertainty(scores[0])
    elif settings.choose == "disagree":
        values = disagreement(scores, settings.measure)
    for number, column in enumerate(SCORE_COLUMNS):
        mean = pa.array(scores[:, :, number].mean(axis=0), pa.float32())
        frames = frames.set_column(frames.column_names.index(column), column, mean)
    value_column = pa.nulls(frames.num_rows, pa.float64()) if values is None else pa.array(values)
    chosen = choose(frames.append_column("value", value_column), settings.selection(), values)
    return Choice(frames=chosen, verdicts=verdicts)
