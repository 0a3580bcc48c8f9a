"""Documents for FiftyOne: samples with temporal detections, frames with scores, and ids that stay the same."""

import json
from dataclasses import replace
from typing import Any

import pytest
from exported import scored_video

from artifactscan.export.events.fiftyone import make_frames, make_metadata, make_sample
from artifactscan.labels import LABELS


def test_a_sample_has_its_events_as_temporal_detections() -> None:
    video = scored_video({"motion": [0.1, 0.75, 0.1], "object": [0.0, 0.0, 0.5]})
    sample = json.loads(make_sample(video))
    assert (sample["filepath"], sample["file"], sample["video_id"]) == ("/clips/day/a.mp4", "day/a.mp4", video.video_id)
    assert (sample["tags"], sample["labels"]) == ([], None)
    found = [(one["label"], one["support"], one["confidence"]) for one in sample["events"]["detections"]]
    assert found == [("motion", [13, 24], 0.75), ("object", [25, 36], 0.5)]
    assert sample["metadata"]["frame_rate"] == 24.0 and sample["metadata"]["total_frame_count"] == 36


def test_a_clip_on_an_object_storage_is_named_by_its_path() -> None:
    video = replace(scored_video({"motion": [0.1]}), uri="s3://bucket/day/a.mp4")
    assert json.loads(make_sample(video))["filepath"] == "day/a.mp4"


def test_a_frame_has_the_score_of_each_label() -> None:
    video = scored_video({"motion": [0.25, 0.75]})
    frames = [json.loads(frame) for frame in make_frames(video)]
    assert [frame["frame_number"] for frame in frames] == [1, 13]
    assert {frame["_sample_id"]["$oid"] for frame in frames} == {json.loads(make_sample(video))["_id"]["$oid"]}
    scores = [[(one["label"], one["confidence"]) for one in frame["scores"]["classifications"]] for frame in frames]
    assert scores[1] == [("boundary", 0.0), ("texture", 0.0), ("motion", 0.75), ("object", 0.0)]


def ids(document: Any) -> list[str]:
    """Every _id in a document."""
    if isinstance(document, list):
        return [one for entry in document for one in ids(entry)]
    if not isinstance(document, dict):
        return []
    own = [document["_id"]["$oid"]] if "_id" in document else []
    return own + [one for value in document.values() for one in ids(value)]


def test_ids_are_unique_and_stay_the_same() -> None:
    videos = [scored_video({"motion": [0.9, 0.1, 0.0, 0.9]}, file=file) for file in ("a.mp4", "b.mp4")]

    def all_ids() -> list[str]:
        documents = [data for video in videos for data in (make_sample(video), *make_frames(video))]
        return [one for data in documents for one in ids(json.loads(data))]

    found = all_ids()
    assert len(found) == 2 * (1 + 2 + 4 * 5)
    assert len(set(found)) == len(found) and {len(one) for one in found} == {24}
    assert found == all_ids()


@pytest.mark.parametrize("document", ["sample_fields", "frame_fields"])
def test_the_fields_of_documents_are_described(document: str) -> None:
    metadata = json.loads(make_metadata(scorer="resnet50-01234567", spec="spec"))
    video = scored_video({"motion": [0.9]})
    content = make_sample(video) if document == "sample_fields" else next(iter(make_frames(video)))
    described = {field["db_field"] for field in metadata[document]}
    assert set(json.loads(content)) == described
    assert metadata["media_type"] == "video"
    assert metadata["default_classes"] == list(LABELS)
    assert metadata["info"] == {"scored_by": "resnet50-01234567", "spec": "spec"}
