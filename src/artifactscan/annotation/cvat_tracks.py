"""CVAT: the tracks of videos, as "CVAT for video 1.1" returns them.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and xml_format. A track covers the frames,
from 0, on which its shape is not outside. The format does not tell a clip that nobody looked at from one without
defects, so a track or shape REVIEWED says that somebody did, and its attribute BY who.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count, pairwise
from typing import Any
from xml.etree import ElementTree

from artifactscan.annotation.cvat import Untagged, parse_cvat, text_attribute, xml_text
from artifactscan.annotation.video_index import LabelledSegment, VideoLookup
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable

REVIEWED, BY, PEAK = "reviewed", "by", "peak"
"""The label of a clip that somebody looked at, its attribute with the name, and the attribute of an event with its
highest score."""
LABEL_CONSTRUCTOR = [
    *({"name": label, "type": "rectangle", "attributes": [text_attribute(PEAK)]} for label in LABELS),
    {"name": REVIEWED, "type": "rectangle", "attributes": [text_attribute(BY)]},
]
"""What CVAT's raw label constructor takes."""

_WAY_OUT = 'export the task or project again as "CVAT for video 1.1"'
_TO_THE_END = 2**31 - 1
_DIGEST_BYTES = 8


def task_names(files: Collection[str]) -> dict[str, str]:
    """file → a name for its task, which XML can hold and no other clip has: the clip's own, where XML can hold that."""
    names = {file: file for file in files if xml_text(file) == file}
    taken = set(names)
    for file in sorted(set(files) - taken):
        digests = (blake2b(f"{file}\0{number}".encode(), digest_size=_DIGEST_BYTES).hexdigest() for number in count())
        names[file] = next(name for digest in digests if (name := f"{xml_text(file)}-{digest}") not in taken)
        taken.add(names[file])
    return names


@dataclass
class _Task:
    """What a file holds of one clip."""

    names: tuple[str | None, ...]
    assignee: str | None
    segments: list[LabelledSegment] = field(default_factory=list)
    reviewed_by: list[str | None] = field(default_factory=list)
    """One entry for each REVIEWED."""


def read_cvat_tracks(data: bytes, lookup: VideoLookup, *, untagged: Untagged) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from annotations.xml or the ZIP around it, of a task or of a project.

    They are of every sampled frame of each clip that somebody looked at; None for each of one that nobody did. A clip
    without REVIEWED is an error, or counts as looked at (clean), or as not looked at (skip). UsageError for a damaged
    file, another format, an unknown clip or label.
    """
    source = lookup.source
    files = {name: file for file, name in task_names(lookup.files).items()}
    for task in _read_tasks(parse_cvat(data, source, _WAY_OUT), source):
        clip = lookup.find_by_name(*(files.get(name or "", name) for name in task.names))
        if not task.reviewed_by and untagged == "error":
            raise UsageError(
                f"{source} has no track {REVIEWED} on the clip '{printable(clip.file, 80)}'; draw one when you have "
                "looked at it, or say with --untagged what such clips are: clean for looked at, or skip for not"
            )
        if not task.reviewed_by and untagged == "skip":
            yield from [None] * len(clip.frame_index)
            continue
        people = dict.fromkeys(name or task.assignee for name in task.reviewed_by or [None])
        for annotator in people:
            yield from lookup.rows(clip, clip.frame_index, task.segments, annotator=annotator)


def _read_tasks(root: ElementTree.Element, source: str) -> list[_Task]:
    if root.find("image") is not None:
        raise UsageError(
            f"{source} holds tags of images, and --index is of exported events; give the index of the extraction, or "
            f"{_WAY_OUT}"
        )
    found = list(root.iterfind("meta//task")) or list(root.iterfind("meta/job"))
    if not found:
        raise UsageError(f"{source} names no task in <meta>; {_WAY_OUT}")
    tasks = [
        _Task((task.findtext("name"), task.findtext("source")), task.findtext("assignee/username")) for task in found
    ]
    by_id = {task.findtext("id"): read for task, read in zip(found, tasks, strict=True)}
    for track in root.iterfind("track"):
        task = tasks[0] if len(tasks) == 1 else by_id.get(track.get("task_id"))
        if task is None:
            raise UsageError(f"{source} has a track of a task that <meta> does not name; {_WAY_OUT}")
        label = track.get("label") or ""
        if label == REVIEWED:
            names = {(one.text or "").strip() for one in track.iter("attribute") if one.get("name") == BY} - {""}
            task.reviewed_by += sorted(names) or [None]
            continue
        try:
            task.segments += [LabelledSegment(label, first, last) for first, last in _visible(track)]
        except ValueError:
            raise UsageError(f"{source} has a track {printable(label, 40)} without frame numbers; {_WAY_OUT}") from None
    return tasks


def _visible(track: ElementTree.Element) -> Iterator[tuple[int, int]]:
    """First and last frame of each stretch in which the track is seen; a shape holds until the next one."""
    shapes = sorted((int(shape.get("frame", "")), shape.get("outside") == "1") for shape in track if shape.get("frame"))
    if not shapes:
        raise ValueError("no shape has a frame")
    for (first, outside), (following, _) in pairwise([*shapes, (_TO_THE_END, True)]):
        if not outside:
            yield first, following - 1
