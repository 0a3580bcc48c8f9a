"""Files from labelling tools: what is read, and for each that cannot be used one sentence naming file and image."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from labelled import graded_row, label_row, make_index

from artifactscan.annotation.cvat import Untagged, read_cvat
from artifactscan.annotation.fiftyone import read_fiftyone
from artifactscan.annotation.frame_index import FrameLookup
from artifactscan.annotation.label_studio import read_label_studio
from artifactscan.errors import UsageError

INDEX = make_index([("a.mp4", 0), ("a.mp4", 12)])
NAMES = [image.removeprefix("frames/") for image in INDEX["image"].to_pylist()]
LOOKUP = FrameLookup(INDEX, "export")

BILLION_LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><annotations>&j;</annotations>"
)


def refusal(rows: Iterator[Any]) -> str:
    with pytest.raises(UsageError) as raised:
        list(rows)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def cvat(*images: str) -> bytes:
    return f"<annotations><version>1.1</version>{''.join(images)}</annotations>".encode()


def image(name: str, *inside: str) -> str:
    return f'<image id="0" name="{name}" width="160" height="96">{"".join(inside)}</image>'


def tag(label: str, severity: str = "-") -> str:
    inside = f'<attribute name="severity">{severity}</attribute>'
    return f'<tag label="{label}" source="manual">{inside}</tag>'


def from_cvat(data: bytes, untagged: Untagged = "error") -> Iterator[dict[str, Any] | None]:
    return read_cvat(data, LOOKUP, untagged=untagged)


def test_cvat_xml_is_read_plain_or_zipped() -> None:
    xml = cvat(image(NAMES[0], tag("clean")), image(f"frames/{NAMES[1]}", tag("motion"), tag("boundary")))
    expected = [label_row("a.mp4", 0, "0000"), label_row("a.mp4", 12, "1010")]
    assert list(from_cvat(xml)) == expected
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", xml)
    assert list(from_cvat(packed.getvalue())) == expected


def test_grades_of_cvats_tags_decide_the_labels() -> None:
    xml = cvat(image(NAMES[0], tag("texture", "1"), tag("object", "3")), image(NAMES[1], tag("clean", "0")))
    assert list(from_cvat(xml)) == [graded_row("a.mp4", 0, "0103"), graded_row("a.mp4", 12, "0000")]


def test_an_image_of_two_cvat_tasks_is_one_frame() -> None:
    again = NAMES[0].replace(".png", "_1.png")
    both = cvat(image(NAMES[0]), image(again, tag("motion")), image(NAMES[1]), image(NAMES[1].replace(".", "_2.")))
    assert list(from_cvat(both, "skip")) == [label_row("a.mp4", 0, "0010"), None]
    assert refusal(from_cvat(cvat(image("x_1.png", tag("motion"))))).startswith(
        "export names the image 'x_1.png', which is not in the index"
    )


def test_what_an_image_without_a_tag_means_in_cvat() -> None:
    xml = cvat(image(NAMES[0]))
    assert list(from_cvat(xml, "clean")) == [label_row("a.mp4", 0, "0000")]
    assert list(from_cvat(xml, "skip")) == [None]
    assert refusal(from_cvat(xml)) == (
        f"export has no tag on the image '{NAMES[0]}'; tag it boundary or texture or motion or object or clean, or "
        "say with --untagged what such images are: clean, or skip for not looked at"
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (cvat()[:-5], "export is damaged or not XML (unclosed token"),
        (b"\x00\x01", "export is damaged or not XML ("),
        (b"<coco/>", "export is not from CVAT: it holds <coco>, not <annotations>; export the task again as"),
        (BILLION_LAUGHS.encode(), "export is damaged or not XML (it declares a document type); export"),
        (cvat('<track id="0" label="motion"/>'), "export holds tracks of a video, and --index is of extracted"),
        (cvat(image("x.png", tag("motion"))), "export names the image 'x.png', which is not in the index"),
        (cvat(image("x.png")), "export has no tag on the image 'x.png'"),
        (cvat(image(NAMES[0], tag("blur"))), f"export gives the image '{NAMES[0]}' the label 'blur', which is none of"),
        (cvat(image(NAMES[0], '<box label="motion"/>')), f"export has a box on the image '{NAMES[0]}'; labels are of"),
        (cvat(image(NAMES[0], tag("clean"), tag("motion"))), f"export tags the image '{NAMES[0]}' clean and motion;"),
        (cvat(image(NAMES[0], tag("clean", "2"))), f"export tags the image '{NAMES[0]}' clean with severity 2; remove"),
        (
            cvat(image(NAMES[0], tag("motion", "4"))),
            f"export gives the image '{NAMES[0]}' the severity '4' for motion, which is not a grade from 0 to 3;",
        ),
        (
            cvat(image(NAMES[0], tag("motion", "2"), tag("object"))),
            f"export gives the image '{NAMES[0]}' a severity for motion and none for object; grade each label that it",
        ),
        (
            cvat(image(NAMES[0], tag("motion", "2"), tag("motion", "1"))),
            f"export gives the image '{NAMES[0]}' the severities 2 and 1 for motion; remove one of them",
        ),
        (b"PK\x03\x04 and nothing more", "export is a damaged ZIP ("),
    ],
)
def test_cvat_files_that_cannot_be_used(data: bytes, said: str) -> None:
    assert refusal(from_cvat(data)).startswith(said)


def test_a_zip_without_annotations() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("images/a.png", b"")
    assert refusal(from_cvat(packed.getvalue())).startswith("export holds 0 files annotations.xml, not one; export")


def task(name: str, *annotations: dict) -> dict:
    return {"id": 1, "data": {"image": f"/data/upload/1/12345678-{name}"}, "annotations": list(annotations)}


def choices(*labels: str, by: Any = None, cancelled: bool = False) -> dict:
    result = [{"from_name": "artifacts", "to_name": "frame", "type": "choices", "value": {"choices": list(labels)}}]
    return {"result": result if labels else [], "completed_by": by, "was_cancelled": cancelled}


def from_label_studio(*tasks: Any) -> Iterator[dict[str, Any] | None]:
    return read_label_studio(json.dumps(list(tasks)).encode(), LOOKUP)


def test_label_studio_annotations_of_several_people() -> None:
    note = {"from_name": "note", "type": "textarea", "value": {"text": ["sixth finger", "left hand"]}}
    anna, ben = choices("motion", by={"id": 1, "email": "anna@example.org"}), choices(by=2)
    anna["result"].append(note)
    rows = list(from_label_studio(task(NAMES[0], anna, ben), task(NAMES[1], choices("object", cancelled=True))))
    assert rows == [
        label_row("a.mp4", 0, "0010", "anna@example.org", "sixth finger; left hand"),
        label_row("a.mp4", 0, "0000", "2"),
        None,
    ]


def rating(label: str, grade: Any) -> dict:
    return {"from_name": f"severity_{label}", "to_name": "frame", "type": "rating", "value": {"rating": grade}}


def test_label_studios_ratings_are_grades() -> None:
    anna, ben = choices("motion", by="anna"), choices(by="ben")
    anna["result"] += [rating("motion", 1), rating("texture", 2)]
    rows = list(from_label_studio(task(NAMES[0], anna, ben)))
    assert rows == [graded_row("a.mp4", 0, "0210", "anna"), label_row("a.mp4", 0, "0000", "ben")]
    ben["result"].append(rating("object", 5))
    assert "the severity '5' for object, which is not a grade from 0 to 3" in refusal(
        from_label_studio(task(NAMES[0], ben))
    )


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([{"image": "x.png", "artifacts": "motion"}], "export: task 1 has no data, as in JSON-MIN exports; export the"),
        ([{"data": {"text": "x"}}], "export: task 1 names no image in data.frame or data.image; export the project"),
        (
            [{"data": {"video": "x"}}],
            "export: task 1 is of a video, and --index is of extracted frames; give the index",
        ),
        ([task("x.png", choices("motion"))], "export names the image '/data/upload/1/12345678-x.png', which is not in"),
        ([task("x.png")], "export names the image '/data/upload/1/12345678-x.png', which is not in the index; give"),
        ([task(NAMES[0], choices("blur"))], f"export gives the image '/data/upload/1/12345678-{NAMES[0]}' the"[:60]),
        ([task(NAMES[0], {"result": "motion"})], "export: task 1 has a result that is not understood; export the"),
    ],
)
def test_label_studio_files_that_cannot_be_used(tasks: list, said: str) -> None:
    assert refusal(from_label_studio(*tasks)).startswith(said)


def test_label_studio_files_that_are_not_json() -> None:
    assert refusal(read_label_studio(b'[{"data": ', LOOKUP)).startswith("export is damaged or not JSON (")
    assert refusal(read_label_studio(b"{}", LOOKUP)).startswith("export holds dict, not a list of tasks; export the")
    assert refusal(read_label_studio(b"[" * 100_000, LOOKUP)).startswith("export is damaged or not JSON (")


STEMS = [name.removesuffix(".png") for name in NAMES]


def from_fiftyone(labels: Any, classes: Any = None) -> Iterator[dict[str, Any] | None]:
    return read_fiftyone(json.dumps({"classes": classes, "labels": labels}).encode(), LOOKUP)


@pytest.mark.parametrize(
    ("target", "classes", "labels"),
    [
        ([0, 1], ["object", "boundary"], "1001"),
        ([], ["object"], "0000"),
        (1, ["object", "boundary"], "1000"),
        (["motion"], None, "0010"),
        ("motion", None, "0010"),
        ([{"label": "motion", "confidence": 0.5}, {"label": "object"}], None, "0011"),
        (None, None, None),
    ],
)
def test_each_form_of_labels_that_fiftyone_writes(target: Any, classes: Any, labels: str | None) -> None:
    expected = None if labels is None else label_row("a.mp4", 12, labels)
    assert list(from_fiftyone({STEMS[1]: target}, classes)) == [expected]


def test_severities_in_fiftyone_are_grades() -> None:
    graded = [{"label": 0, "attributes": {"severity": 3}}, {"label": "motion", "attributes": {"severity": 1}}]
    assert list(from_fiftyone({STEMS[0]: graded}, ["object"])) == [graded_row("a.mp4", 0, "0013")]
    assert "a severity for object and none for motion" in refusal(
        from_fiftyone({STEMS[0]: [graded[0], "motion"]}, ["object"])
    )


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ({"x": [0]}, ["motion"], "export names the image 'x', which is not in the index"),
        ({"x": None}, ["motion"], "export names the image 'x', which is not in the index"),
        ({STEMS[0]: [3]}, ["motion"], f"export gives the image '{STEMS[0]}' the class 3, which its list of classes"),
        ({STEMS[0]: [0]}, None, f"export gives the image '{STEMS[0]}' the class 0, which its list of classes does"),
        ({STEMS[0]: ["blur"]}, None, f"export gives the image '{STEMS[0]}' the label 'blur', which is none of"),
        ([1], ["motion"], "export has no object `labels`; export it again as FiftyOneImageClassificationDataset"),
    ],
)
def test_fiftyone_files_that_cannot_be_used(labels: Any, classes: Any, said: str) -> None:
    assert refusal(from_fiftyone(labels, classes)).startswith(said)


def test_fiftyone_files_that_are_not_json() -> None:
    assert refusal(read_fiftyone(b"{", LOOKUP)).startswith("export is damaged or not JSON (")
    assert refusal(read_fiftyone(b"[]", LOOKUP)).startswith("export has no object `labels`; export it again as")
    said = "export is the samples.json of a dataset, and --index is of extracted frames; give the index of the export"
    assert refusal(read_fiftyone(b'{"samples": []}', LOOKUP)).startswith(said)
