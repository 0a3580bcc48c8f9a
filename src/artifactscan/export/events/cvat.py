"""CVAT: the events of each clip as tracks, in "CVAT for video 1.1" XML; a task of CVAT is one video.

A track spans the whole picture, as an event has no place in it, and ends with a shape that is outside.
"""

import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from artifactscan.annotation.cvat import add_label_definitions, xml_child, xml_text
from artifactscan.annotation.cvat_tracks import LABEL_CONSTRUCTOR, PEAK
from artifactscan.export.events.scored_video import ScoredEvent, ScoredVideo

SUFFIX = ".xml"
FOLDER = "annotations"
RAW_LABELS_NAME = "labels.json"
_UNKNOWN_SIZE = (1280, 720)
"""Pixels of a track where the ledger has no size; CVAT cuts it at the picture."""


def label_constructor() -> bytes:
    """labels.json, for CVAT's raw label constructor."""
    return json.dumps(LABEL_CONSTRUCTOR, indent=2).encode()


def write_tracks(video: ScoredVideo, *, task_name: str) -> bytes:
    """annotations.xml of one clip: a track for each event, frames from 0.

    ``task_name``: of `task_names`, by which a corrected export is known again.
    """
    width, height = video.facts.get("width") or _UNKNOWN_SIZE[0], video.facts.get("height") or _UNKNOWN_SIZE[1]
    frames = video.facts.get("frames_in_video")
    root = ElementTree.Element("annotations")
    xml_child(root, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    xml_child(task, "name", task_name)
    if frames:
        xml_child(task, "size", str(frames))
    xml_child(task, "mode", "interpolation")
    add_label_definitions(task, LABEL_CONSTRUCTOR)
    size = ElementTree.SubElement(task, "original_size")
    xml_child(size, "width", str(width))
    xml_child(size, "height", str(height))
    xml_child(task, "source", xml_text(video.file.rpartition("/")[2]))
    for number, event in enumerate(video.events):
        track = ElementTree.SubElement(root, "track", {"id": str(number), "label": event.label, "source": "auto"})
        box = {"xtl": "0.00", "ytl": "0.00", "xbr": f"{width:.2f}", "ybr": f"{height:.2f}", "z_order": "0"}
        _shape(track, event.first_frame, box, event, outside=False)
        if not frames or event.last_frame + 1 < frames:
            _shape(track, event.last_frame + 1, box, event, outside=True)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _shape(
    track: ElementTree.Element, frame: int, box: Mapping[str, Any], event: ScoredEvent, *, outside: bool
) -> None:
    state = {"frame": str(frame), "keyframe": "1", "outside": str(int(outside)), "occluded": "0"}
    shape = ElementTree.SubElement(track, "box", {**state, **box})
    ElementTree.SubElement(shape, "attribute", {"name": PEAK}).text = f"{event.peak:.2f}"
