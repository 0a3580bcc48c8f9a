"""Scoring a corpus and sampling a video's frames from Python: `artifactscan.score` and `artifactscan.sample_frames`."""

import io
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.cli.exit_codes import unknown_name
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.native_resolution import NativeResolutionDecoder
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeError, DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import stored_events, stored_frames, stored_listing

if TYPE_CHECKING:
    import pandas as pd


class DataFrames(NamedTuple):
    """The tables of Scores as pandas data frames."""

    frames: "pd.DataFrame"
    videos: "pd.DataFrame"
    events: "pd.DataFrame"


@dataclass(frozen=True, kw_only=True, repr=False)
class Scores:
    """The scores of a corpus: Arrow tables, read from the store when they are first used."""

    store: str
    """Folder or s3:// prefix that holds the tables; a temporary folder where no output was given."""
    spec: str
    """Digest of all that the scores depend on: sampling, input, decoder, precision, checkpoint."""
    run: str | None
    """The run that listed the corpus last; None for a corpus without videos."""
    thresholds: Mapping[str, float]
    """Label → the probability from which on a frame counts as showing it."""
    _temporary: Any = field(default=None, compare=False)
    """Removes a temporary store when this object is no longer used."""

    @cached_property
    def videos(self) -> pa.Table:
        """One row for each video of the corpus: uri, outcome, reason, facts, and a summary for each label."""
        return stored_listing(Store(self.store), self.run) if self.run else pa.table({})

    @cached_property
    def frames(self) -> pa.Table:
        """One row for each scored frame: video_id, uri, frame_index, pts_s (seconds), p_boundary … p_object (0..1)."""
        return stored_frames(Store(self.store), self.spec, self._video_ids).sort_by(
            [("uri", "ascending"), ("frame_index", "ascending")]
        )

    @cached_property
    def events(self) -> pa.Table:
        """One row for each event: video_id, uri, label, start_s, end_s (seconds), peak (0..1), peak_frame."""
        runs = [record.run for record in Store(self.store).committed() if record.spec_digest == self.spec]
        return stored_events(Store(self.store), runs, self._video_ids)

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcome → how many videos ended in it, most frequent first."""
        return dict(Counter(self.videos["outcome"].to_pylist()).most_common())

    def to_pandas(self) -> DataFrames:
        """The three tables as pandas data frames: frames, videos, events."""
        return DataFrames(self.frames.to_pandas(), self.videos.to_pandas(), self.events.to_pandas())

    @property
    def _video_ids(self) -> pa.Array:
        return self.videos["video_id"].combine_chunks()

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items())
        frames, scored = self.frames.num_rows, sum(self.outcomes.get(outcome, 0) for outcome in HAS_FRAMES)
        plural = "video" if self.videos.num_rows == 1 else "videos"
        lines = [f"Scores of {self.videos.num_rows:,} {plural} ({outcomes}), {frames:,} frames"]
        for label in LABELS:
            over = pc.greater_equal(self.frames[f"p_{label}"], self.thresholds[label])
            events = self.events.filter(pc.equal(self.events["label"], label))
            lines.append(
                f"  {label:9} {(pc.sum(over).as_py() or 0) / max(1, frames):6.1%} of frames, "
                f"events in {len(pc.unique(events['video_id'])):,} of {scored:,} videos"
            )
        return "\n".join(lines)


def score(
    corpus: str,
    *,
    output: str | None = None,
    checkpoint: str = "builtin",
    sample_fps: float = 2.0,
    device: Literal["auto", "cuda", "cpu"] = "auto",
    limit: int | None = None,
    quiet: bool = False,
    **more: Any,
) -> Scores:
    """Scores every video of a corpus for the four labels of LABELS, on Ray.

    ``corpus``: folder, file, s3:// prefix, or a .parquet/.csv manifest with a column `uri`. ``output``: store of the
    tables, a folder or s3:// prefix, in which a later call reuses what is scored; None for a temporary one.
    ``checkpoint``: folder, s3:// folder, or `builtin`. ``sample_fps``: sampled frames per second of presentation time.
    ``limit``: videos at most. ``quiet``: no progress on stderr. ``more``: any other flag of `artifactscan score` under
    its name in Python, such as ``decoder="pyav"``.

    Starts Ray in this process, or joins the cluster at RAY_ADDRESS; Ray ends with the process. A video that cannot be
    scored is a row of ``videos`` with its outcome, not an error.

    Raises UsageError for settings, a corpus or a checkpoint that cannot be used, CutOffError where the run ended
    early (the same call continues it), LedgerError where a video has no outcome.
    """
    from rich.console import Console

    from artifactscan.pipelines.score.request import make_request
    from artifactscan.pipelines.score.run import as_usage_errors, score_corpus

    known = {setting.name for setting in fields(ScoreSettings)} - {"plan", "price_per_hour", "node_cpus", "max_failed"}
    for name in more.keys() - known:
        raise unknown_name("setting", name, sorted(known))
    temporary = None if output else tempfile.TemporaryDirectory(prefix="artifactscan-scores-")
    settings = ScoreSettings(
        input=corpus,
        output=output or str(temporary and temporary.name),
        checkpoint=checkpoint,
        sample_fps=sample_fps,
        device=device,
        limit=limit,
        quiet=quiet,
        max_failed=1.0,
        **more,
    )
    loaded = load_checkpoint(checkpoint)
    with as_usage_errors():
        result = score_corpus(settings, loaded, Console(file=io.StringIO()))
    request, store = make_request(settings, loaded), Store(storage.normalise(settings.output))
    asked = (request.scope, request.spec.digest)
    runs = [run for run in result.runs or store.committed() if (run.scope_digest, run.spec_digest) == asked]
    return Scores(
        store=store.root,
        spec=request.spec.digest,
        run=runs[-1].run if runs else None,
        thresholds=dict(loaded.card.thresholds),
        _temporary=temporary,
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Frames:
    """Sampled frames of one video."""

    frames: np.ndarray
    """uint8 RGB (n, height, width, 3), in C order."""
    frame_index: np.ndarray
    """int32 (n,): position of each frame in the video, increasing."""
    pts_s: np.ndarray
    """float64 (n,): presentation time of each frame, seconds."""
    lost: int
    """Sampled frames that are missing because the video is damaged there."""

    def __repr__(self) -> str:
        count, height, width, _ = self.frames.shape
        lost = f", {self.lost} lost" if self.lost else ""
        span = f", {self.pts_s[0]:.2f} to {self.pts_s[-1]:.2f} s" if count else ""
        return f"Frames({count} of {height}x{width} pixels{span}{lost})"


def sample_frames(path: str, fps: float = 2.0, *, input: InputSpec | None = None) -> Frames:
    """Decodes the frames on screen at 0, 1/fps, 2/fps … seconds, as scoring does.

    ``path``: a local file or s3:// uri. ``input``: size and resize kernel of the frames, such as
    ``load_checkpoint("builtin").card.input``; None for the size at which the video is shown, at most 4096 pixels a
    side. Decoding happens in a child process with limits on time and memory, so that a damaged or hostile file cannot
    harm this one.

    Raises DecodeError, which has the outcome and the reason, where no frame can be decoded; UsageError where the file
    cannot be read or ``fps`` is not above 0.
    """
    from artifactscan.explain.video_frames import fetched_video

    if not fps > 0:
        raise UsageError(f"fps is {fps}; give a number above 0")
    settings = DecodeSettings(input=input or InputSpec(height=16, width=16), sample_fps=fps)
    decoder = SandboxedDecoder(settings) if input else NativeResolutionDecoder(settings)
    try:
        with fetched_video(path, max_object_bytes=settings.limits.max_object_bytes) as (fetched, _, _):
            segments = list(decoder.decode(fetched.path))
    finally:
        decoder.close()
    result = segments[-1].result
    assert result is not None, "the last segment has the result"
    if result.outcome not in HAS_FRAMES:
        raise DecodeError(result.outcome, f"{path}: {result.reason}", result.facts)
    segments = [segment for segment in segments if segment.attempt == segments[-1].attempt and segment.frame_index]
    shape = (-1, segments[0].height, segments[0].width, 3)
    return Frames(
        frames=np.concatenate([np.frombuffer(segment.pixels, np.uint8).reshape(shape) for segment in segments]),
        frame_index=np.concatenate([np.array(segment.frame_index, np.int32) for segment in segments]),
        pts_s=np.concatenate([np.array(segment.pts_s, np.float64) for segment in segments]),
        lost=(result.facts.frames_sampled or 0) - (result.facts.frames_decoded or 0),
    )
