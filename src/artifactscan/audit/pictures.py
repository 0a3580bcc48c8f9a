"""Pictures of the worst videos: the frames at their events' peaks, with Grad-CAM maps over them."""

import io
from collections.abc import Sequence
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from artifactscan.audit.night import Picture
from artifactscan.audit.night_tables import PICTURES
from artifactscan.audit.settings import AuditSettings
from artifactscan.errors import UsageError
from artifactscan.explain.heatmaps import HeatMapper
from artifactscan.explain.overlays import overlay, thumbnail
from artifactscan.explain.settings import ExplainSettings
from artifactscan.explain.video_frames import fetched_video, scored_frames
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classifier import Classifier

_JPEG_QUALITY = 72
"""A frame of 320 pixels is about 12 kB; a page of 24 videos with four frames each, twice, stays under 3 MB."""


def worst(arrivals: pa.Table, count: int) -> pa.Table:
    """The videos with events to look at first: by the mean over labels of the share of frames over, then the peak."""
    with_events = pc.greater(_sum(arrivals, "events"), 0)
    flagged = arrivals.filter(with_events)
    if not flagged.num_rows:
        return flagged
    shares = pc.divide(_sum(flagged, "frames_over").cast(pa.float64()), flagged["frames"])
    peaks = pc.max_element_wise(*(flagged[f"peak_{label}"] for label in LABELS))
    ranked = pa.table({"share": shares, "peak": peaks, "uri": flagged["uri"]})
    order = pc.sort_indices(ranked, [("share", "descending"), ("peak", "descending"), ("uri", "ascending")])
    return flagged.take(order[:count])


def _sum(arrivals: pa.Table, kind: str) -> pa.ChunkedArray:
    total = arrivals[f"{kind}_{LABELS[0]}"]
    for label in LABELS[1:]:
        total = pc.add(total, arrivals[f"{kind}_{label}"])
    return total


def draw(videos: pa.Table, settings: AuditSettings, checkpoint: Checkpoint) -> tuple[pa.Table, list[str]]:
    """PICTURES of these videos (ARRIVALS), and what to note of those that could not be drawn."""
    if not videos.num_rows or not settings.frames_per_video:
        return PICTURES.empty_table(), []
    # On the driver, which may have no GPU where the workers have, and for a few frames only.
    classifier = Classifier(checkpoint, replace(settings.classifying(), device="auto", compile=False))
    mapper = HeatMapper(checkpoint, classifier.device)
    rows, notes = [], []
    for video in videos.to_pylist():
        try:
            rows += _pictures(video, settings, checkpoint, classifier, mapper)
        except UsageError as error:
            notes.append(f"no pictures of a video: {error}")
    return pa.Table.from_pylist(rows, PICTURES), notes


def _pictures(
    video: dict, settings: AuditSettings, checkpoint: Checkpoint, classifier: Classifier, mapper: HeatMapper
) -> list[dict]:
    labels = sorted((label for label in LABELS if video[f"events_{label}"]), key=lambda label: -video[f"peak_{label}"])
    wanted = {label: video[f"peak_frame_{label}"] for label in labels[: settings.frames_per_video]}
    asked = _explaining(video["uri"], sorted(set(wanted.values())), settings)
    with fetched_video(asked) as (fetched, uri, identity):
        if identity != video["video_id"]:
            raise UsageError(f"video {uri} is not the one that was scored; the next audit scores it")
        frames = {one.seen.index: one for one in scored_frames(fetched, uri, asked, checkpoint.card, classifier)}
    rows = []
    for label, index in wanted.items():
        frame, number = frames[index], LABELS.index(label)
        [heat] = mapper.maps(frame.seen.pixels, [number])
        rows.append(
            {
                "video_id": video["video_id"],
                "label": label,
                "frame_index": index,
                "pts_s": frame.seen.pts_s,
                "score": video[f"peak_{label}"],
                "frame_jpeg": _jpeg(frame.shown.pixels),
                "overlay_jpeg": _jpeg(overlay(frame.shown.pixels, heat)) if heat.max() > 0 else None,
            }
        )
    return rows


def _explaining(uri: str, frames: Sequence[int], settings: AuditSettings) -> ExplainSettings:
    return ExplainSettings(
        video=uri,
        output="",
        frames=tuple(map(str, frames)),
        max_side=640,
        decoder=settings.decoder,
        **asdict(settings.limits()),
    )


def _jpeg(picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(thumbnail(picture)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def of_video(pictures: pa.Table, video: str) -> tuple[Picture, ...]:
    """The pictures of one video, highest score first."""
    rows = pictures.filter(pc.equal(pictures["video_id"], video)).drop_columns(["video_id"]).to_pylist()
    return tuple(Picture(**row) for row in sorted(rows, key=lambda row: -row["score"]))
