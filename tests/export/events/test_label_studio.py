"""Tasks for Label Studio: how clips are reached, and events as segments of the timeline."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from exported import scored_video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.annotation.label_studio_timeline import timeline_config, timeline_frame
from artifactscan.export.events.label_studio import make_task
from artifactscan.export.events.scored_video import ScoredVideo, locate_events
from artifactscan.labels import LABELS


def task_of(video: ScoredVideo) -> dict:
    return json.loads(make_task(video, scorer="resnet50-01234567"))


def ranges(video: ScoredVideo) -> list[tuple[str, int, int]]:
    [prediction] = task_of(video)["predictions"]
    return [
        (*part["value"]["timelinelabels"], *(part["value"]["ranges"][0][end] for end in ("start", "end")))
        for part in prediction["result"]
    ]


def test_a_task_has_the_clip_its_rate_and_the_events_as_a_prediction() -> None:
    video = scored_video({"motion": [0.1, 0.75, 0.5, 0.1], "object": [0.25, 0.0, 0.0, 0.5]}, file="day/a b#.mp4")
    task = task_of(video)
    assert task["data"] == {"video": "/data/local-files/?d=clips/day/a%20b%23.mp4", "file": "day/a b#.mp4", "fps": 24.0}
    [prediction] = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("resnet50-01234567", 0.75)
    assert [part["score"] for part in prediction["result"]] == [0.75, 0.5]
    kinds = {(part["type"], part["from_name"], part["to_name"]) for part in prediction["result"]}
    assert kinds == {("timelinelabels", "events", "video")}
    assert len({part["id"] for part in prediction["result"]}) == 2
    assert ranges(video) == [("motion", 13, 36), ("object", 37, 48)]


def test_a_clip_without_events_has_an_empty_prediction() -> None:
    assert task_of(scored_video({"motion": [0.25]}))["predictions"][0] == {
        "model_version": "resnet50-01234567",
        "score": 0.25,
        "result": [],
    }


@given(st.sets(st.text(min_size=1, max_size=20) | st.text("\x01\r\n\ufffd\uffff%#?/&", min_size=1, max_size=4)))
def test_any_clips_have_tasks_of_their_own(files: set[str]) -> None:
    clips = [replace(scored_video({"motion": [0.1]}, file=file), uri=f"/clips/{file}") for file in files]
    tasks = [task_of(clip)["data"] for clip in clips]
    assert [task["file"] for task in tasks] == [clip.file for clip in clips]
    assert len({task["video"] for task in tasks}) == len(files)
    assert all(task["video"].isascii() and task["video"].isprintable() for task in tasks)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://bucket/day/a b.mp4", "s3://bucket/day/a b.mp4"),
        ("gs://bucket/a.mp4", "gs://bucket/a.mp4"),
        ("az://container/a.mp4", "azure-blob://container/a.mp4"),
    ],
)
def test_clips_on_an_object_storage_have_its_address(uri: str, url: str) -> None:
    assert task_of(replace(scored_video({"motion": [0.1]}), uri=uri))["data"]["video"] == url


def test_a_rate_that_is_not_known_is_that_of_label_studio() -> None:
    video = scored_video({"motion": [0.9, 0.1]}, fps=None)
    assert task_of(video)["data"]["fps"] == 24.0
    assert ranges(video) == [("motion", 1, 12)]


def test_segments_are_by_time_where_the_frame_rate_varies() -> None:
    pts_s, index = np.array([0.0, 0.4, 2.0]), np.array([0, 10, 11], np.int32)
    facts = {"fps": 10.0, "duration_s": 3.0, "frames_in_video": 12}
    row = {"label": "motion", "start_s": 0.4, "end_s": 2.0, "peak": 0.9, "peak_frame": 10}
    events = locate_events([row], frame_index=index, pts_s=pts_s, sample_fps=2.0, facts=facts)
    video = replace(scored_video({"motion": [0.1] * 3}), pts_s=pts_s, frame_index=index, facts=facts, events=events)
    assert ranges(video) == [("motion", 5, 20)]
    assert timeline_frame(pts_s, 10.0).tolist() == [1, 5, 21]


def test_the_labelling_configuration() -> None:
    view = ElementTree.fromstring(timeline_config())
    video, labels = view.find("Video"), view.find("TimelineLabels")
    assert video is not None and labels is not None
    assert (video.get("name"), video.get("value"), video.get("frameRate")) == ("video", "$video", "$fps")
    assert (labels.get("name"), labels.get("toName")) == ("events", "video")
    assert [label.get("value") for label in labels] == list(LABELS)
    assert len({label.get("background") for label in labels}) == 4
