"""Segments of videos from labelling tools: what is read, and for each file that cannot be used one sentence."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from labelled import label_row
from s3_server import S3Server

from artifactscan.annotation.cvat import Untagged
from artifactscan.annotation.cvat_tracks import read_cvat_tracks
from artifactscan.annotation.fiftyone_temporal import read_temporal_detections
from artifactscan.annotation.label_studio_timeline import read_timelines
from artifactscan.annotation.labelling_tools import import_labels
from artifactscan.annotation.labels_table import LABELLED, write_labels
from artifactscan.annotation.video_index import VIDEO_INDEX, VideoLookup
from artifactscan.errors import UsageError
from artifactscan.storage.parquet import read_table, write_table

FPS = 24.0
FRAMES = [("day/a.mp4", 0), ("day/a.mp4", 12), ("day/a.mp4", 24), ("b.mp4", 0), ("c/x.mp4", 0), ("d/x.mp4", 0)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [
        {"video_id": "0" * 32, "uri": f"/clips/{file}", "file": file, "frame_index": frame, "pts_s": frame / FPS}
        | {"fps": FPS, "written": None}
        for file, frame in FRAMES
    ]
    uri = str(tmp_path_factory.mktemp("index") / "index.parquet")
    write_table(pa.Table.from_pylist(rows, VIDEO_INDEX), uri)
    return uri


@pytest.fixture(scope="module")
def lookup(index: str) -> VideoLookup:
    return VideoLookup(read_table(index), "export")


def refusal(rows: Iterable[Any]) -> str:
    with pytest.raises(UsageError) as raised:
        list(rows)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def a_rows(*labels: str, by: str | None = None, note: str | None = None) -> list[dict[str, Any]]:
    """Rows of the first clip; ``labels``: four digits for each of its frames."""
    return [label_row("day/a.mp4", frame, shown, by, note) for frame, shown in zip((0, 12, 24), labels, strict=True)]


# Label Studio


def task(file: Any, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": 1,
        "data": {"video": "/data/local-files/?d=x", "file": file, "fps": FPS},
        "annotations": [*annotations],
    }


def timeline(*segments: tuple[str, int, int], by: Any = None, cancelled: bool = False) -> dict[str, Any]:
    result = [
        {"from_name": "events", "to_name": "video", "type": "timelinelabels"}
        | {"value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}}
        for label, start, end in segments
    ]
    return {"result": result, "completed_by": by, "was_cancelled": cancelled}


def from_label_studio(lookup: VideoLookup, *tasks: Any) -> Iterator[dict[str, Any] | None]:
    return read_timelines(json.dumps(list(tasks)).encode(), lookup)


def test_segments_of_a_timeline_label_the_sampled_frames_they_cover(lookup: VideoLookup) -> None:
    anna = timeline(("motion", 13, 24), ("object", 1, 30), by={"id": 1, "email": "anna@example.org"})
    anna["result"].append({"from_name": "note", "type": "textarea", "value": {"text": ["sixth finger"]}})
    rows = list(from_label_studio(lookup, task("day/a.mp4", anna, timeline(by=2))))
    assert rows == [
        *a_rows("0001", "0011", "0001", by="anna@example.org", note="sixth finger"),
        *a_rows("0000", "0000", "0000", by="2"),
    ]


def test_a_segment_of_one_frame_and_the_frames_beside_it(lookup: VideoLookup) -> None:
    for start, end, shown in ((13, 13, "0010"), (14, 24, "0000"), (1, 12, "0000"), (12, 14, "0010")):
        rows = list(from_label_studio(lookup, task("day/a.mp4", timeline(("motion", start, end)))))
        assert rows[1] == label_row("day/a.mp4", 12, shown)


def test_tasks_that_nobody_submitted_are_not_labelled(lookup: VideoLookup) -> None:
    skipped = task("day/a.mp4", timeline(("motion", 1, 9), cancelled=True))
    predicted = {**task("b.mp4"), "predictions": [timeline(("motion", 1, 9))]}
    assert list(from_label_studio(lookup, skipped, predicted)) == [None] * 4


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([task(None)], "export: task 1 names no clip in data.file; export the project again as JSON"),
        ([{"file": "b.mp4"}], "export: task 1 has no data, as in JSON-MIN exports; export"),
        (
            [{"data": {"image": "x.png", "frame": "frames/x.png", "file": "b.mp4"}, "annotations": [timeline()]}],
            "export: task 1 is of no video, and --index is of exported events; give the index of the extraction",
        ),
        (
            [task("e.mp4", timeline())],
            "export names the clip 'e.mp4', which is not in the index; give the index of the",
        ),
        (
            [task("a.mp4", timeline())],  # there is another folder's
            "export names the clip 'a.mp4', which is not in the index; give the index of the export that was labelled",
        ),
        (
            [task("b.mp4", timeline(("blur", 1, 2)))],
            "export gives the clip 'b.mp4' the label 'blur', which is none of boundary, texture, motion, object;",
        ),
        (
            [task("b.mp4", timeline(("motion", 5, 2)))],
            "export has a segment motion of the clip 'b.mp4' that ends at frame 2, before it begins at 5; correct it",
        ),
        (
            [task("b.mp4", {"result": [{"type": "timelinelabels"}]})],
            "export: task 1 has a result that is not understood",
        ),
        ([task("b.mp4", {"result": None})], "export: task 1 has a result that is not understood; export"),
    ],
)
def test_files_of_label_studio_that_cannot_be_used(lookup: VideoLookup, tasks: list[Any], said: str) -> None:
    assert refusal(from_label_studio(lookup, *tasks)).startswith(said)


# FiftyOne


def sample(file: str, *, tags: Iterable[str] = (), **fields: list[tuple[str, int, int]] | None) -> dict[str, Any]:
    content: dict[str, Any] = {"filepath": f"/clips/{file}", "file": file, "tags": list(tags)}
    for name, segments in fields.items():
        found = [{"label": label, "support": [first, last]} for label, first, last in segments or []]
        content[name] = None if segments is None else {"_cls": "TemporalDetections", "detections": found}
    return content


def from_fiftyone(lookup: VideoLookup, *samples: Any) -> Iterator[dict[str, Any] | None]:
    return read_temporal_detections(json.dumps({"samples": list(samples)}).encode(), lookup)


def test_temporal_detections_of_a_person_are_labels(lookup: VideoLookup) -> None:
    given = sample("day/a.mp4", events=[("object", 1, 36)], labels=[("motion", 13, 24)])
    assert list(from_fiftyone(lookup, given)) == a_rows("0000", "0010", "0000")
    named = sample("day/a.mp4", tags=["day", "reviewed:anna"], events=[("object", 1, 36)], labels=[])
    assert list(from_fiftyone(lookup, named)) == a_rows("0000", "0000", "0000", by="anna")


def test_events_are_labels_where_somebody_reviewed_them(lookup: VideoLookup) -> None:
    events: dict[str, Any] = {"events": [("object", 13, 36)], "labels": None}
    assert list(from_fiftyone(lookup, sample("day/a.mp4", **events))) == [None] * 3
    assert list(from_fiftyone(lookup, sample("day/a.mp4", tags=["reviewed"], **events))) == a_rows(
        "0000", *["0001"] * 2
    )
    both = sample("day/a.mp4", tags=["reviewed:anna", "reviewed: ben"], **events)
    assert list(from_fiftyone(lookup, both)) == [
        *a_rows("0000", "0001", "0001", by="anna"),
        *a_rows("0000", "0001", "0001", by="ben"),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "export is damaged or not JSON ("),
        (b"[]", "export has no list `samples`; export the dataset again as FiftyOneDataset, and give its samples.json"),
        (b'{"samples": 3}', "export has no list `samples`; export"),
        (b'{"labels": {}}', "export has labels of images, and --index is of exported events; give the index of the"),
        (b'{"samples": [3]}', "export: sample 1 has no field `file`; export the dataset again"),
        (b'{"samples": [{"filepath": "/clips/b.mp4"}]}', "export: sample 1 has no field `file`; export"),
        (b'{"samples": [{"file": "b.mp4", "tags": 7}]}', "export: sample 1 has another form than expected; export"),
        (b'{"samples": [{"file": "b.mp4", "labels": {"detections": [{}]}}]}', "export: sample 1 has another form than"),
        (
            b'{"samples": [{"file": "z.mp4"}]}',
            "export names the clip 'z.mp4', which is not in the index; give the index",
        ),
    ],
)
def test_files_of_fiftyone_that_cannot_be_used(lookup: VideoLookup, data: bytes, said: str) -> None:
    assert refusal(read_temporal_detections(data, lookup)).startswith(said)


# CVAT


def meta(*tasks: tuple[str, str]) -> str:
    inside = "".join(
        f"<task><id>{number}</id><name>{name}</name><source>{source}</source>"
        "<assignee><username>carol</username></assignee></task>"
        for number, (name, source) in enumerate(tasks)
    )
    return f"<meta>{inside if len(tasks) == 1 else f'<project><tasks>{inside}</tasks></project>'}</meta>"


def track(label: str, *shapes: tuple[int, int], task: int | None = None, by: str | None = None) -> str:
    """A track; ``shapes``: frame and outside of each."""
    name = "" if by is None else f'<attribute name="by">{by}</attribute>'
    boxes = "".join(f'<box frame="{frame}" keyframe="1" outside="{outside}">{name}</box>' for frame, outside in shapes)
    return (
        f'<track id="0" label="{label}"{"" if task is None else f" task_id={chr(34)}{task}{chr(34)}"}>{boxes}</track>'
    )


def cvat(*inside: str) -> bytes:
    return f"<annotations><version>1.1</version>{''.join(inside)}</annotations>".encode()


REVIEWED = track("reviewed", (0, 0))
A_META = meta(("day/a.mp4", "a.mp4"))


def from_cvat(lookup: VideoLookup, data: bytes, untagged: Untagged = "error") -> list[dict[str, Any] | None]:
    return list(read_cvat_tracks(data, lookup, untagged=untagged))


def test_tracks_label_the_frames_on_which_they_are_seen(lookup: VideoLookup) -> None:
    sparse = track("motion", (12, 0), (24, 1))
    dense = track("object", (5, 1), (11, 0), (12, 0), (13, 1), (24, 0))
    xml = cvat(A_META, sparse, dense, REVIEWED)
    expected = a_rows("0000", "0011", "0001", by="carol")
    assert from_cvat(lookup, xml) == expected
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", xml)
    assert from_cvat(lookup, packed.getvalue()) == expected


def test_who_looked_at_a_clip_is_the_name_at_the_track_or_the_assignee(lookup: VideoLookup) -> None:
    named = track("reviewed", (0, 0), by="anna")
    assert from_cvat(lookup, cvat(A_META, named)) == a_rows(*["0000"] * 3, by="anna")
    assert from_cvat(lookup, cvat(A_META, named, REVIEWED)) == [
        *a_rows(*["0000"] * 3, by="anna"),
        *a_rows(*["0000"] * 3, by="carol"),
    ]


def test_a_clip_that_nobody_marked_as_reviewed(lookup: VideoLookup) -> None:
    xml = cvat(A_META, track("motion", (12, 0), (24, 1)))
    assert from_cvat(lookup, xml, "skip") == [None] * 3
    assert from_cvat(lookup, xml, "clean") == a_rows("0000", "0010", "0000", by="carol")
    assert refusal(read_cvat_tracks(xml, lookup, untagged="error")) == (
        "export has no track reviewed on the clip 'day/a.mp4'; draw one when you have looked at it, or say with "
        "--untagged what such clips are: clean for looked at, or skip for not"
    )


def test_a_project_has_the_tracks_of_several_tasks(lookup: VideoLookup) -> None:
    project = cvat(
        meta(("task 1/2", "a.mp4"), ("b.mp4", "upload.mp4")),
        track("motion", (0, 0), task=1),
        track("object", (24, 0), task=0),
        track("reviewed", (0, 0), task=0, by="anna"),
    )
    rows = from_cvat(lookup, project, "skip")
    assert rows == [*a_rows("0000", "0000", "0001", by="anna"), None]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (cvat(A_META)[:-3], "export is damaged or not XML (unclosed token"),
        (
            b"<coco/>",
            'export is not from CVAT: it holds <coco>, not <annotations>; export the task or project again as "C',
        ),
        (
            b'<!DOCTYPE l [<!ENTITY a "a">]><annotations>&a;</annotations>',
            "export is damaged or not XML (it declares a",
        ),
        (
            cvat('<image id="0" name="a.png"/>'),
            "export holds tags of images, and --index is of exported events; give the",
        ),
        (cvat(), "export names no task in <meta>; export"),
        (
            cvat(meta(("e.mp4", "f.mp4")), REVIEWED),
            "export names the clip 'e.mp4 or f.mp4', which is not in the index;",
        ),
        (
            cvat(meta(("e", "x.mp4")), REVIEWED),
            "export names the clip 'e or x.mp4', and 2 clips of the index have that",
        ),
        (
            cvat(meta(("night/a.mp4", "")), REVIEWED),  # another folder's is there
            "export names the clip 'night/a.mp4', which is not in the index;",
        ),
        (
            cvat(meta(("night/b.mp4", "b.mp4")), REVIEWED),
            "export names the clip 'night/b.mp4 or b.mp4', which is not in the index;",
        ),
        (
            cvat(A_META, REVIEWED, track("blur", (0, 0))),
            "export gives the clip 'day/a.mp4' the label 'blur', which is n",
        ),
        (cvat(A_META, REVIEWED, track("motion")), "export has a track motion without frame numbers; export"),
        (
            cvat(meta(("b.mp4", ""), ("day/a.mp4", "")), track("motion", (0, 0), task=7)),
            "export has a track of a task that <meta> does not name; export",
        ),
    ],
)
def test_files_of_cvat_that_cannot_be_used(lookup: VideoLookup, data: bytes, said: str) -> None:
    assert refusal(read_cvat_tracks(data, lookup, untagged="error")).startswith(said)


# The index, and the import by it


WANTED = "give the index.parquet of the extraction, or of the export of events, that was labelled"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.parquet", f"is not there; {WANTED}"),
        (
            "text.parquet",
            "is damaged, or no Parquet file (Parquet magic bytes not found in footer. Either the file is ",
        ),
        ("cut.parquet", "is damaged, or no Parquet file ("),
        ("labels.parquet", f"is another table, without a column image; {WANTED}"),
        ("typed.parquet", "is another table (Failed to parse string: 'x' as a scalar of type int32); give"),
        ("folder", f"is a folder; {WANTED}"),
        ("text.parquet/index.parquet", f"is not there; {WANTED}"),
    ],
)
def test_an_index_that_cannot_be_used_is_named_by_its_cause(index: str, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "text.parquet").write_text("no table, however long")
    (tmp_path / "cut.parquet").write_bytes(Path(index).read_bytes()[:-40])
    (tmp_path / "folder").mkdir()
    write_labels(pa.Table.from_pylist(a_rows("0000", "0000", "0000"), LABELLED), str(tmp_path / "labels.parquet"))
    columns = {one.name: ["x"] for one in VIDEO_INDEX}
    write_table(pa.table(columns), str(tmp_path / "typed.parquet"))
    (tmp_path / "project.json").write_text("[]")
    with pytest.raises(UsageError) as raised:
        import_labels("label-studio", str(tmp_path / "project.json"), str(tmp_path / name))
    assert str(raised.value).startswith(f"index {tmp_path / name} {said}") and "\n" not in str(raised.value)


def test_an_index_that_may_not_be_read_is_said(tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "project.json").write_text("[]")
    s3.faults.status("*", 403)
    with pytest.raises(UsageError, match=r"^index s3://\S+/index\.parquet cannot be read: access denied \(403\)$"):
        import_labels("label-studio", str(tmp_path / "project.json"), s3.uri("index.parquet"))


def test_the_import_counts_what_nobody_labelled_and_takes_a_name(index: str, tmp_path: Path) -> None:
    source = tmp_path / "project.json"
    source.write_text(json.dumps([task("day/a.mp4", timeline(("motion", 13, 24), by=1)), task("b.mp4")]))
    table, unlabelled = import_labels("label-studio", str(source), index, annotator="anna")
    assert (table.to_pylist(), unlabelled) == (a_rows("0000", "0010", "0000", by="anna"), 1)


def test_two_people_who_differ_have_a_row_each_or_a_rule(index: str, tmp_path: Path) -> None:
    source = tmp_path / "project.json"
    source.write_text(json.dumps([task("b.mp4", timeline(("motion", 1, 9), by="anna"), timeline(by="ben"))]))
    table, _ = import_labels("label-studio", str(source), index)
    assert table.to_pylist() == [label_row("b.mp4", 0, "0010", "anna"), label_row("b.mp4", 0, "0000", "ben")]
    table, _ = import_labels("label-studio", str(source), index, rule="any")
    assert table.to_pylist() == [label_row("b.mp4", 0, "0010", "anna; ben")]


def test_a_sheet_is_checked_against_the_frames_of_videos(index: str, tmp_path: Path) -> None:
    for frame, said in ((12, ""), (13, "which is not in the index; the nearest that is there is 12")):
        sheet = str(tmp_path / "sheet.csv")
        write_labels(pa.Table.from_pylist([label_row("day/a.mp4", frame, "0010", "anna")], LABELLED), sheet)
        if not said:
            assert import_labels("csv", sheet, index)[0].num_rows == 1
            continue
        with pytest.raises(UsageError, match=said):
            import_labels("csv", sheet, index)
