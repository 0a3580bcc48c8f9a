"""FiftyOne: the temporal detections of a video dataset, as its samples.json returns them.

Source: https://docs.voxel51.com/user_guide/using_datasets.html#temporal-detection and export_datasets.html
(FiftyOneDataset). A person's segments are in the field LABELS_FIELD; where it is null and the sample has the tag
REVIEWED, those of EVENTS_FIELD are right as they are. A sample with neither is not labelled.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from artifactscan.annotation.video_index import LabelledSegment, VideoLookup
from artifactscan.errors import UsageError

EVENTS_FIELD, LABELS_FIELD, SCORES_FIELD = "events", "labels", "scores"
"""Fields of a sample with the scorer's segments and with a person's, and the field of a frame with its scores."""
REVIEWED = "reviewed"
"""The tag of a sample that somebody looked at; ``reviewed:anna`` says who."""
FIRST_FRAME = 1
"""Frames of videos count from 1."""

_WAY_OUT = "export the dataset again as FiftyOneDataset, and give its samples.json"


def read_temporal_detections(data: bytes, lookup: VideoLookup) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from a samples.json, for every sampled frame of each clip that somebody looked at.

    None for each sampled frame of a clip that nobody did. UsageError for a damaged file, another format, an unknown
    clip or label.
    """
    for number, sample in enumerate(_samples(data, lookup.source), 1):
        file = sample.get("file") if isinstance(sample, dict) else None
        if not isinstance(file, str):
            raise UsageError(f"{lookup.source}: sample {number} has no field `file`; {_WAY_OUT}")
        clip = lookup.find(file)
        try:
            reviewers = [_reviewer(tag) for tag in sample.get("tags") or [] if tag.partition(":")[0] == REVIEWED]
            given = sample.get(LABELS_FIELD)
            if given is None and not reviewers:
                yield from [None] * len(clip.frame_index)
                continue
            segments = list(_segments(sample.get(EVENTS_FIELD) if given is None else given))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UsageError(f"{lookup.source}: sample {number} has another form than expected; {_WAY_OUT}") from None
        for reviewer in dict.fromkeys(reviewers or [None]):
            yield from lookup.rows(clip, clip.frame_index, segments, annotator=reviewer)


def _samples(data: bytes, source: str) -> list[dict[str, Any]]:
    try:
        dataset = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is damaged or not JSON ({error}); {_WAY_OUT}") from None
    samples = dataset.get("samples") if isinstance(dataset, dict) else None
    if isinstance(samples, list):
        return samples
    if isinstance(dataset, dict) and "labels" in dataset:
        raise UsageError(
            f"{source} has labels of images, and --index is of exported events; give the index of the extraction, or "
            f"{_WAY_OUT}"
        )
    raise UsageError(f"{source} has no list `samples`; {_WAY_OUT}")


def _reviewer(tag: str) -> str | None:
    return tag.partition(":")[2].strip() or None


def _segments(field: Mapping[str, Any] | None) -> Iterator[LabelledSegment]:
    for detection in (field or {}).get("detections") or []:
        first, last = detection["support"]
        yield LabelledSegment(str(detection["label"]), int(first) - FIRST_FRAME, int(last) - FIRST_FRAME)
