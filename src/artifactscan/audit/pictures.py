"""Pictures of the worst videos: the frames at their events' peaks, with Grad-CAM maps over them."""

import io
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from artifactscan.audit.night_tables import PICTURES
from artifactscan.audit.report_data import Picture
from artifactscan.audit.settings import AuditSettings
from artifactscan.decode.video import decoder_on_cpu
from artifactscan.errors import UsageError
from artifactscan.explain.heatmaps import HeatMapper, NoHeatMapsError
from artifactscan.explain.overlays import overlay, thumbnail
from artifactscan.explain.settings import ExplainSettings
from artifactscan.explain.video_frames import fetched_video, scored_frames
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classifier import Classifier

_JPEG_QUALITY = 72
"""About 12 kB for a frame of 320 pixels: 24 videos with four frames each, twice, stay under 3 MB."""


def draw_pictures(videos: pa.Table, settings: AuditSettings, checkpoint: Checkpoint) -> tuple[pa.Table, list[str]]:
    """PICTURES of these videos (ARRIVALS), and a note for each that could not be drawn.

    A checkpoint without heat maps gets the frames alone, and a note.
    """
    if not videos.num_rows or not settings.frames_per_video:
        return PICTURES.empty_table(), []
    asked = settings.classifying()
    if not asked.uses_graph(checkpoint):
        checkpoint = replace(checkpoint, graph=None)
    # Runs on the driver, which may have no GPU, and for a few frames only.
    classifier = Classifier(checkpoint, replace(asked, device="auto", compile=False))
    rows, notes, mapper = [], [], None
    try:
        mapper = HeatMapper(checkpoint, classifier.device)
    except NoHeatMapsError as error:
        notes.append(f"pictures without heat maps: {error}")
    for video in videos.to_pylist():
        try:
            rows += _draw_video(video, settings, checkpoint, classifier, mapper)
        except UsageError as error:
            notes.append(f"no pictures of a video: {error}")
    return pa.Table.from_pylist(rows, PICTURES), notes


def pictures_of(pictures: pa.Table, video: str) -> tuple[Picture, ...]:
    """The pictures of one video_id, highest score first."""
    rows = pictures.filter(pc.equal(pictures["video_id"], video)).drop_columns(["video_id"]).to_pylist()
    return tuple(Picture(**row) for row in sorted(rows, key=lambda row: -row["score"]))


def _draw_video(
    video: dict, settings: AuditSettings, checkpoint: Checkpoint, classifier: Classifier, mapper: HeatMapper | None
) -> list[dict]:
    labels = sorted((label for label in LABELS if video[f"events_{label}"]), key=lambda label: -video[f"peak_{label}"])
    peaks = {label: video[f"peak_frame_{label}"] for label in labels[: settings.frames_per_video]}
    asked = ExplainSettings(
        video=video["uri"],
        output="",
        frames=tuple(map(str, sorted(set(peaks.values())))),
        max_side=640,
        sample_fps=settings.sample_fps,
        decoder=decoder_on_cpu(settings.decoder),
        **asdict(settings.limits()),
    )
    with fetched_video(asked.video, max_object_bytes=asked.max_object_bytes) as (fetched, uri, identity):
        if identity != video["video_id"]:
            raise UsageError(f"video {uri} is not the one that was scored; the next audit scores it")
        frames = {one.seen.index: one for one in scored_frames(fetched, uri, asked, checkpoint.card, classifier)}
    rows = []
    for label, index in peaks.items():
        frame = frames[index]
        heat = mapper.maps(frame.seen.pixels, [LABELS.index(label)])[0] if mapper else None
        rows.append(
            {
                "video_id": video["video_id"],
                "label": label,
                "frame_index": index,
                "pts_s": frame.seen.pts_s,
                "score": video[f"peak_{label}"],
                "frame_jpeg": _jpeg(frame.shown.pixels),
                "overlay_jpeg": _jpeg(overlay(frame.shown.pixels, heat))
                if heat is not None and heat.max() > 0
                else None,
            }
        )
    return rows


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(thumbnail(picture)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
