"""Label Studio: the timeline segments of videos, as tasks have them and as a JSON export returns them.

Source: https://labelstud.io/tags/timelinelabels and /tags/video. The frames of a timeline count from 1 and divide the
clip's time evenly, at the rate that the task names, whatever the times of the clip's own frames are. An annotation
without a segment is a clip without defects; a task without an annotation, or with skipped ones only, is not labelled.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

from artifactscan.annotation.label_studio import (
    HINTS,
    NOTE,
    VIDEO,
    WAY_OUT,
    annotator_of,
    not_understood,
    read_tasks,
    submitted_annotations,
)
from artifactscan.annotation.video_index import LabelledSegment, VideoLookup
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS

TIMELINE = "events"
"""The name of the video's control in the labelling configuration; results refer to it."""
DEFAULT_FPS = 24.0
"""The rate of a timeline whose clip has none that is known; that of Label Studio too."""
_COLOURS = {"boundary": "#d1495b", "texture": "#edae49", "motion": "#00798c", "object": "#5b5f97"}
_VIDEO_PIXELS, _TIMELINE_PIXELS = "400", "128"
"""Heights with which a video and four rows of segments are seen on one screen."""


def timeline_frame(pts_s: Any, fps: float | None) -> np.ndarray:
    """The frame of a timeline that is nearest to each time in seconds, as int64, from 1."""
    return np.rint(np.asarray(pts_s) * (fps or DEFAULT_FPS)).astype(np.int64) + 1


def timeline_result(video_id: str, number: int, label: str, first: int, last: int, score: float) -> dict[str, Any]:
    """One segment of a prediction: frames of the timeline, both within it. ``number``: unique within the clip."""
    return {
        "id": f"{video_id[:8]}{number:04x}",
        "from_name": TIMELINE,
        "to_name": VIDEO,
        "type": "timelinelabels",
        "score": score,
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]},
    }


def timeline_config() -> bytes:
    """The labelling configuration: a video, its timeline with the four labels, and a note."""
    view = ElementTree.Element("View")
    controls = ElementTree.SubElement(view, "TimelineLabels", {"name": TIMELINE, "toName": VIDEO})
    for key, label in enumerate(LABELS, 1):
        colour = {"background": _COLOURS[label], "hint": HINTS[label], "hotkey": str(key)}
        ElementTree.SubElement(controls, "Label", {"value": label, **colour})
    video = {"name": VIDEO, "value": f"${VIDEO}", "frameRate": "$fps"}
    video |= {"height": _VIDEO_PIXELS, "timelineHeight": _TIMELINE_PIXELS}
    ElementTree.SubElement(view, "Video", video)
    ElementTree.SubElement(view, "TextArea", {"name": NOTE, "toName": VIDEO, "placeholder": "what you see, and where"})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="utf-8")


def read_timelines(data: bytes, lookup: VideoLookup) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from a JSON export, for every sampled frame of each clip that somebody submitted.

    None for each sampled frame of a clip that nobody did. UsageError for a damaged file, another format, an unknown
    clip or label.
    """
    for number, task in read_tasks(data, lookup.source):
        file = task["data"].get("file")
        if not isinstance(file, str):
            raise UsageError(f"{lookup.source}: task {number} names no clip in data.file; {WAY_OUT}")
        if VIDEO not in task["data"]:  # its annotations would be read as segments of which there are none
            raise UsageError(
                f"{lookup.source}: task {number} is of no video, and --index is of exported events; give the index of "
                "the extraction"
            )
        clip = lookup.find(file)
        try:
            answers = [(list(_segments(one["result"])), one) for one in submitted_annotations(task)]
            notes = ["; ".join(_notes(one["result"])) for _, one in answers]
            annotators = [annotator_of(one) for _, one in answers]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise not_understood(lookup.source, number) from None
        at = timeline_frame(clip.pts_s, clip.fps)
        for (segments, _), note, annotator in zip(answers, notes, annotators, strict=True):
            yield from lookup.rows(clip, at, segments, annotator=annotator, note=note)
        if not answers:
            yield from [None] * len(at)


def _segments(result: Iterable[Mapping[str, Any]]) -> Iterator[LabelledSegment]:
    for part in result:
        if part["type"] == "timelinelabels":
            value = part["value"]
            for label in value["timelinelabels"]:
                for stretch in value["ranges"]:
                    yield LabelledSegment(str(label), int(stretch["start"]), int(stretch["end"]))


def _notes(result: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for part in result:
        if part["type"] == "textarea":
            yield from part["value"]["text"]
