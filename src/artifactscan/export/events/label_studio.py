"""Label Studio: a task for each clip, with its events as a prediction of timeline segments."""

import json
from urllib.parse import quote

from artifactscan import storage
from artifactscan.annotation.label_studio_timeline import DEFAULT_FPS, timeline_frame, timeline_result
from artifactscan.export.events.scored_video import ScoredEvent, ScoredVideo

TASKS_NAME, CONFIG_NAME = "tasks.json", "config.xml"
_SCHEMES = {"az": "azure-blob"}
"""Schemes of object storages that Label Studio names otherwise."""


def make_task(video: ScoredVideo, *, scorer: str) -> bytes:
    """The task of one clip, as JSON.

    On an object storage it has the clip's uri; otherwise the path of Label Studio's local files, with the folder that
    the corpus lies in as LOCAL_FILES_DOCUMENT_ROOT: only folders below that can be added as storages. ``score`` of the
    prediction, by which tasks are sorted, is the highest of the clip.
    """
    segments = [
        timeline_result(video.video_id, number, event.label, *_stretch(video, event), event.peak)
        for number, event in enumerate(video.events)
    ]
    highest = float(video.scores.max()) if len(video.scores) else 0.0
    data = {"video": _url(video), "file": video.file, "fps": video.fps or DEFAULT_FPS}
    prediction = {"model_version": scorer, "score": highest, "result": segments}
    return json.dumps({"data": data, "predictions": [prediction]}, ensure_ascii=False).encode()


def _url(video: ScoredVideo) -> str:
    if not storage.is_remote(video.uri):
        corpus = video.uri.removesuffix(video.file).rstrip("/").rpartition("/")[2]
        return f"/data/local-files/?d={quote(f'{corpus}/{video.file}'.lstrip('/'))}"
    scheme, _, rest = video.uri.partition("://")
    return f"{_SCHEMES.get(scheme, scheme)}://{rest}"


def _stretch(video: ScoredVideo, event: ScoredEvent) -> tuple[int, int]:
    """First and last frame of the event on the timeline; the next sampled frame is not within it."""
    first = int(timeline_frame(event.start_s, video.fps))
    last = int(timeline_frame(event.end_s, video.fps)) - 1
    after = video.pts_s[video.frame_index > event.last_frame]
    if len(after):
        last = min(last, int(timeline_frame(after[0], video.fps)) - 1)
    return first, max(first, last)
