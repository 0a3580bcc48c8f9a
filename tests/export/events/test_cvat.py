"""Tracks for CVAT: their frames, their extent, and labels that CVAT knows."""

import json
import re
from xml.etree import ElementTree

import pyarrow as pa
from exported import scored_video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.annotation.cvat_tracks import read_cvat_tracks, task_names
from artifactscan.annotation.video_index import VIDEO_INDEX, VideoLookup
from artifactscan.export.events.cvat import label_constructor, write_tracks
from artifactscan.labels import LABELS


def test_a_track_for_each_event_spans_the_picture_and_ends_outside() -> None:
    root = ElementTree.fromstring(
        write_tracks(scored_video({"motion": [0.1, 0.9, 0.1], "object": [0.0, 0.0, 0.8]}), task_name="day/a.mp4")
    )
    assert [root.findtext(path) for path in ("version", "meta/task/name", "meta/task/mode", "meta/task/source")] == [
        "1.1",
        "day/a.mp4",
        "interpolation",
        "a.mp4",
    ]
    assert [root.findtext(f"meta/task/{path}") for path in ("size", "original_size/width", "original_size/height")] == [
        "36",
        "640",
        "360",
    ]
    motion, object = root.findall("track")
    assert (motion.get("id"), motion.get("label"), motion.get("source")) == ("0", "motion", "auto")
    first, last = motion.findall("box")
    corners = {"xtl": "0.00", "ytl": "0.00", "xbr": "640.00", "ybr": "360.00", "z_order": "0"}
    assert first.attrib == {"frame": "12", "keyframe": "1", "outside": "0", "occluded": "0", **corners}
    assert last.attrib == {"frame": "24", "keyframe": "1", "outside": "1", "occluded": "0", **corners}
    assert [box.findtext("attribute[@name='peak']") for box in (first, last)] == ["0.90", "0.90"]
    assert [box.get("frame") for box in object.findall("box")] == ["24"]  # to the end of the clip


def test_facts_that_are_not_known() -> None:
    unknown = dict.fromkeys(("width", "height", "fps", "frames_in_video", "duration_s"))
    root = ElementTree.fromstring(write_tracks(scored_video({"motion": [0.9]}, **unknown), task_name="a"))
    assert root.find("meta/task/size") is None
    assert [box.get("frame") for box in root.iter("box")] == ["0", "1"]


def test_labels_of_the_file_are_those_of_the_constructor() -> None:
    constructor = json.loads(label_constructor())
    assert [label["name"] for label in constructor] == [*LABELS, "reviewed"]
    assert {label["type"] for label in constructor} == {"rectangle"}
    root = ElementTree.fromstring(write_tracks(scored_video({"motion": [0.1]}), task_name="a"))
    assert [label.findtext("name") for label in root.iter("label")] == [label["name"] for label in constructor]
    attributes = [label.findtext("attributes/attribute/name") for label in root.iter("label")]
    assert attributes == ["peak"] * 4 + ["by"] == [label["attributes"][0]["name"] for label in constructor]


ODD = "\x00\x01\x0b\r\n\x7f\ufffd\ufffe\uffff<&>]-a/."


@given(st.sets(st.text(min_size=1, max_size=20) | st.text(ODD, min_size=1, max_size=4), min_size=1, max_size=8))
def test_any_clips_have_names_of_their_own_in_xml_and_are_found_by_them(files: set[str]) -> None:
    files |= set(task_names(files).values())  # names that somebody gives to other clips on purpose
    index = pa.Table.from_pylist(
        [
            {"video_id": "0" * 32, "uri": f"/clips/{file}", "file": file, "frame_index": 0, "pts_s": 0.0}
            for file in sorted(files)
        ],
        VIDEO_INDEX,
    )
    names = task_names(files)
    found = []
    for file in files:
        xml = write_tracks(scored_video({"motion": [0.9]}, file=file), task_name=names[file])
        root = ElementTree.fromstring(xml)
        assert [child.tag for child in root] == ["version", "meta", "track"]
        found.append(root.findtext("meta/task/name"))
        [row] = read_cvat_tracks(xml, VideoLookup(index, "export"), untagged="clean")
        assert row is not None and (row["file"], row["motion"]) == (file, 1)
    assert len(set(found)) == len(files)


def test_names_that_xml_can_hold_are_kept() -> None:
    kept, replaced = ["day/a b.mp4", "<&>.mp4"], ["a\x01.mp4", "a\x02.mp4"]
    names = task_names([*kept, *replaced])
    assert [names[file] for file in kept] == kept
    assert all(re.fullmatch("a\ufffd.mp4-[0-9a-f]{16}", names[file]) for file in replaced)
    assert len(set(names.values())) == 4
