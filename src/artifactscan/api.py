"""Scoring a corpus and sampling a video's frames from Python: `artifactscan.score` and `artifactscan.sample_frames`."""

import io
import os
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from numbers import Real
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
from artifactscan.errors import CutOffError, UsageError
from artifactscan.labels import LABELS
from artifactscan.leftovers.temporary_folders import TemporaryFolder
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.schemas import outcomes_with_frames
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.settings.groups import MAX_SAMPLE_FPS, MIN_SAMPLE_FPS
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import stored_events, stored_frames, stored_listing

if TYPE_CHECKING:
    import pandas as pd

Uri = str | os.PathLike[str]
"""A local path, or an s3://, gs:// or az:// uri as text."""

_COMMAND_ONLY = {
    "max_failed": "it decides the command's exit code; read `outcomes` of what this returns",
    "plan": "this function scores; `artifactscan score --plan` prints what would be done",
    "price_per_hour": "it goes with `artifactscan score --plan`",
    "node_cpus": "it goes with `artifactscan score --plan`",
}
"""Settings that `score` does not take, and why."""


class DataFrames(NamedTuple):
    """The tables of Scores as pandas data frames."""

    frames: "pd.DataFrame"
    videos: "pd.DataFrame"
    events: "pd.DataFrame"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Scores:
    """The scores of a corpus: Arrow tables, read from the store when they are first used."""

    store: str
    """Folder or s3:// prefix that holds the tables; a temporary folder where no output was given."""
    spec: str
    """Digest of all that the scores depend on: sampling, input, decoder, precision, checkpoint."""
    run: str
    """The run that listed the corpus last."""
    thresholds: Mapping[str, float]
    """Label → the probability from which on a frame counts as showing it."""

    @cached_property
    def videos(self) -> pa.Table:
        """One row for each video of the corpus: uri, outcome, reason, facts, and a summary for each label."""
        return stored_listing(Store(self.store), self.run)

    @cached_property
    def frames(self) -> pa.Table:
        """One row for each scored frame: video_id, uri, frame_index, pts_s (seconds), p_boundary … p_object (0..1)."""
        return stored_frames(Store(self.store), self._runs, self._video_ids).sort_by(
            [("uri", "ascending"), ("frame_index", "ascending")]
        )

    @cached_property
    def events(self) -> pa.Table:
        """One row for each event: video_id, uri, label, start_s, end_s (seconds), peak (0..1), peak_frame."""
        return stored_events(Store(self.store), self._runs, self._video_ids)

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcome → how many videos ended in it, most frequent first."""
        return dict(Counter(self.videos["outcome"].to_pylist()).most_common())

    def to_pandas(self) -> DataFrames:
        """The three tables as pandas data frames: frames, videos, events."""
        return DataFrames(self.frames.to_pandas(), self.videos.to_pandas(), self.events.to_pandas())

    @cached_property
    def _runs(self) -> list[str]:
        return Store(self.store).runs_of(self.spec)

    @property
    def _video_ids(self) -> pa.Array:
        return self.videos["video_id"].combine_chunks()

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items())
        with_frames = self.videos.filter(outcomes_with_frames(self.videos["outcome"]))
        frames, scored = pc.sum(with_frames["frames_decoded"]).as_py() or 0, with_frames.num_rows
        plural = "video" if self.videos.num_rows == 1 else "videos"
        lines = [f"Scores of {self.videos.num_rows:,} {plural} ({outcomes}), {frames:,} frames"]
        for label in LABELS:
            over = pc.sum(with_frames[f"frames_over_{label}"]).as_py() or 0
            events = self.events.filter(pc.equal(self.events["label"], label))
            lines.append(
                f"  {label:9} {over / max(1, frames):6.1%} of frames, "
                f"events in {len(pc.unique(events['video_id'])):,} of {scored:,} videos"
            )
        return "\n".join(lines)


def score(
    corpus: Uri,
    *,
    output: Uri | None = None,
    checkpoint: Uri = "builtin",
    sample_fps: float = 2.0,
    device: Literal["auto", "cuda", "cpu"] = "auto",
    limit: int | None = None,
    quiet: bool = False,
    **more: Any,
) -> Scores:
    """Scores every video of a corpus for the four labels of LABELS, on Ray.

    ``corpus``: folder, file, s3:// prefix, or a .parquet/.csv manifest with a column `uri`. ``output``: store of the
    tables, a folder or s3:// prefix, in which a later call reuses what is scored; None for a temporary one, which is
    removed with the returned object. ``checkpoint``: folder, s3:// folder, hf:// repository, or `builtin`.
    ``sample_fps``: sampled frames per second of presentation time. ``limit``: videos at most. ``quiet``: no progress on
    stderr. ``more``: any other flag of `artifactscan score` under its name in Python, such as ``decoder="pyav"``,
    except ``max_failed``, ``plan``, ``price_per_hour`` and ``node_cpus``.

    Starts Ray in this process, or joins the cluster at RAY_ADDRESS; Ray ends with the process. A video that cannot be
    scored is a row of ``videos`` with its outcome, not an error.

    Raises UsageError for settings, a corpus or a checkpoint that cannot be used, CutOffError where the run ended
    early (the same call continues it; a temporary store is kept, and the message names it), LedgerError where a video
    has no outcome.
    """
    _check_names(more)
    folder = None if output else TemporaryFolder("artifactscan-scores-")
    try:
        settings = ScoreSettings(
            input=_to_text(corpus),
            output=_to_text(folder.path if folder else output),
            checkpoint=_to_text(checkpoint),
            sample_fps=_plain(sample_fps),
            device=device,
            limit=_plain(limit),
            quiet=quiet,
            max_failed=1.0,
            **{name: _plain(value) for name, value in more.items()},
        )
        scores = _score(settings)
    except CutOffError as error:
        if folder is None:
            raise
        folder.keep()
        raise CutOffError(
            str(error).replace("the same command", f"the same call with output={folder.path!r}")
        ) from error
    except BaseException:
        if folder is not None:
            folder.remove()
        raise
    if folder is not None:
        weakref.finalize(scores, folder.remove)
    return scores


def _check_names(more: Mapping[str, Any]) -> None:
    """UsageError for a setting that `score` does not take."""
    known = {setting.name for setting in fields(ScoreSettings)} - {"input", *_COMMAND_ONLY}
    for name in more.keys() - known:
        if name in _COMMAND_ONLY:
            raise UsageError(f"setting {name} is not taken here: {_COMMAND_ONLY[name]}")
        if get_close_matches(name, ["input"]):
            raise UsageError(f"setting {name} is unknown; did you mean corpus, the first argument?")
        raise unknown_name("setting", name, sorted(known))


def _to_text(uri: Any) -> Any:
    return os.fspath(uri) if isinstance(uri, os.PathLike) else uri


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, lists as tuples, paths as text."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(value) if isinstance(value, list) else _to_text(value)


def _score(settings: ScoreSettings) -> Scores:
    from rich.console import Console  # these import Ray

    from artifactscan.pipelines.ray_cluster.caller_settings import restored_ray_settings
    from artifactscan.pipelines.score.run import as_usage_errors, score_corpus

    settings = pin_revisions(settings, "checkpoint")
    loaded = load_checkpoint(settings.checkpoint)
    with as_usage_errors(), restored_ray_settings():
        result = score_corpus(settings, loaded, Console(file=io.StringIO()))
    request, store = result.request, Store(storage.normalise(settings.output))
    asked = (request.scope, request.spec.digest)
    runs = [run for run in result.runs or store.committed() if (run.scope_digest, run.spec_digest) == asked]
    return Scores(
        store=store.root,
        spec=request.spec.digest,
        run=runs[-1].run,
        thresholds=dict(loaded.card.thresholds),
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
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


def sample_frames(path: Uri, fps: float = 2.0, *, input: InputSpec | None = None) -> Frames:
    """Decodes the frames on screen at 0, 1/fps, 2/fps … seconds, as scoring does.

    ``path``: a local file or s3:// uri. ``input``: size and resize kernel of the frames, such as
    ``load_checkpoint("builtin").card.input``; None for the size at which the video is shown, at most 4096 pixels a
    side. Decoding happens in a child process with limits on time and memory, so that a damaged or hostile file cannot
    harm this one.

    Raises DecodeError, which has the outcome and the reason, where no frame can be decoded; UsageError where the file
    cannot be read, ``fps`` is not above 0 and at most 1000, or ``input`` is no InputSpec.
    """
    from artifactscan.explain.video_frames import fetched_video

    if not isinstance(fps, Real) or not MIN_SAMPLE_FPS <= fps <= MAX_SAMPLE_FPS:
        raise UsageError(f"fps is {fps!r}; give a number from {MIN_SAMPLE_FPS:g} to {MAX_SAMPLE_FPS:g}")
    if not isinstance(input, InputSpec | None):
        raise UsageError(f"input is {input!r}; give an InputSpec, such as InputSpec(height=224, width=224), or None")
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"path is {path!r}; give that of one video, as a path or text")
    video = os.fspath(path)
    settings = DecodeSettings(input=input or InputSpec(height=16, width=16), sample_fps=float(fps))
    decoder = SandboxedDecoder(settings) if input else NativeResolutionDecoder(settings)
    try:
        with fetched_video(video, max_object_bytes=settings.limits.max_object_bytes) as (fetched, _, _):
            segments = list(decoder.decode(fetched.path))
    finally:
        decoder.close()
    result = segments[-1].result
    assert result is not None, "the last segment has the result"
    if result.outcome not in HAS_FRAMES:
        raise DecodeError(result.outcome, f"{video}: {result.reason}", result.facts)
    segments = [segment for segment in segments if segment.attempt == segments[-1].attempt and segment.frame_index]
    shape = (-1, segments[0].height, segments[0].width, 3)
    return Frames(
        frames=np.concatenate([np.frombuffer(segment.pixels, np.uint8).reshape(shape) for segment in segments]),
        frame_index=np.concatenate([np.array(segment.frame_index, np.int32) for segment in segments]),
        pts_s=np.concatenate([np.array(segment.pts_s, np.float64) for segment in segments]),
        lost=(result.facts.frames_sampled or 0) - (result.facts.frames_decoded or 0),
    )
