"""CVAT: exports frames and tags as "CVAT for images 1.1" XML, and reads that format back.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and xml_format. The format does
not tell an image that nobody looked at from one without defects, so the tag CLEAN marks the second. The
attribute SEVERITY of a tag is its grade.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn
from xml.etree import ElementTree

import pyarrow as pa

from artifactscan.annotation.frame_index import FrameLookup, severities_of
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY

CLEAN = "clean"
"""The tag of a frame that was looked at and shows none of the four artifacts."""

SEVERITY, NOT_GRADED = "severity", "-"
"""The attribute of a tag with its grade, and the attribute's value until somebody grades it."""

Untagged = Literal["error", "clean", "skip"]
"""How an image without a tag is read: as an error, as a clean frame, or as not labelled yet (skip)."""

MAX_XML_BYTES = 1 << 30
"""Limit of annotations.xml unpacked; enough for millions of tagged images."""

_XML_NAME = "annotations.xml"
_GRADES = [f"{grade}" for grade in range(1, MAX_SEVERITY + 1)]
_WAY_OUT = 'export the task again as "CVAT for images 1.1"'
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHAPES = frozenset({"box", "polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton"})


def write_cvat(index: pa.Table, *, labels: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[str, bytes]:
    """File name → content: annotations.xml for INDEX rows, and labels.json for CVAT's raw label constructor.

    ``labels``: (file, frame_index) → LABELLED row, which become tags, of graded rows those with a grade above 0. Scores
    do not: CVAT would return them as if a person had set them.
    """
    root = ElementTree.Element("annotations")
    xml_child(root, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, text in (("name", "artifactscan"), ("size", str(index.num_rows)), ("mode", "annotation")):
        xml_child(task, name, text)
    constructor = [{"name": label, "type": "tag", "attributes": _attributes(label)} for label in (*LABELS, CLEAN)]
    add_label_definitions(task, constructor)
    for number, row in enumerate(index.to_pylist()):
        name = row["image"].rpartition("/")[2]  # CVAT keeps the file name of an uploaded image
        size = {"width": str(row["width"]), "height": str(row["height"])}
        image = ElementTree.SubElement(root, "image", {"id": str(number), "name": name, **size})
        if given := labels.get((row["file"], row["frame_index"])):
            grades = severities_of(given)
            shown = [label for label in LABELS if (grades[label] if grades else given[label])]
            for label in shown or [CLEAN]:
                _tag(image, label, given.get("note"), None if grades is None else grades.get(label, 0))
    ElementTree.indent(root)
    xml = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return {_XML_NAME: xml, "labels.json": json.dumps(constructor, indent=2).encode()}


def read_cvat(data: bytes, lookup: FrameLookup, *, untagged: Untagged) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from annotations.xml or the ZIP around it; None for each frame not labelled yet.

    An image that several tasks hold is one frame, labelled if one of them labels it.

    UsageError for a damaged file, another format, an unknown image or label, shapes, a clean frame with a defect, and
    grades that FrameLookup.row refuses.
    """
    source, labelled, skipped = lookup.source, set(), set()
    root = parse_cvat(data, source, _WAY_OUT)
    if root.find("track") is not None:
        raise UsageError(
            f"{source} holds tracks of a video, and --index is of extracted frames; give the index of the export of "
            f"events, or {_WAY_OUT}"
        )
    for image in root.iter("image"):
        name = image.get("name") or ""
        if shape := next((child.tag for child in image if child.tag in _SHAPES), None):
            raise UsageError(f"{source} has a {shape} on the image {name!r}; labels are of whole frames, so use tags")
        tags = {tag.get("label") or "" for tag in image.iter("tag")}
        if not tags and untagged == "error":
            raise UsageError(
                f"{source} has no tag on the image {name!r}; tag it {' or '.join(LABELS)} or {CLEAN}, or say with "
                "--untagged what such images are: clean, or skip for not looked at"
            )
        if CLEAN in tags and len(tags) > 1:
            raise UsageError(f"{source} tags the image {name!r} {' and '.join(sorted(tags))}; remove what is wrong")
        if not tags and untagged == "skip":
            skipped.add(lookup.find(name))
            continue
        grades = list(_grades(image))
        if wrong := [grade for label, grade in grades if label == CLEAN and grade != "0"]:
            raise UsageError(f"{source} tags the image {name!r} {CLEAN} with severity {wrong[0]}; remove what is wrong")
        labelled.add(lookup.find(name))
        notes = [attribute.text for attribute in image.iter("attribute") if attribute.get("name") == "note"]
        yield lookup.row(
            name,
            tags - {CLEAN},
            severities=[(label, grade) for label, grade in grades if label != CLEAN] if grades else None,
            note="; ".join(dict.fromkeys(note for note in notes if note)),
        )
    yield from (None for _ in skipped - labelled)


def _attributes(label: str) -> list[dict[str, Any]]:
    """The definitions of a tag's attributes, as CVAT's raw label constructor has them."""
    grades = [NOT_GRADED, *(["0"] if label == CLEAN else _GRADES)]
    choice = {"mutable": False, "input_type": "select", "default_value": NOT_GRADED, "values": grades}
    return [text_attribute("note"), {"name": SEVERITY, **choice}]


def _grades(element: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Label and grade of each graded tag in ``element``."""
    for tag in element.iter("tag"):
        for attribute in tag.iter("attribute"):
            grade = (attribute.text or "").strip()
            if attribute.get("name") == SEVERITY and grade not in ("", NOT_GRADED):
                yield tag.get("label") or "", grade


def add_label_definitions(task: ElementTree.Element, constructor: Sequence[Mapping[str, Any]]) -> None:
    """Adds to the <task> of an XML's <meta> the labels that ``constructor``, CVAT's raw label constructor, defines."""
    listed = ElementTree.SubElement(task, "labels")
    for label in constructor:
        entry = ElementTree.SubElement(listed, "label")
        xml_child(entry, "name", label["name"])
        xml_child(entry, "type", label["type"])
        attributes = ElementTree.SubElement(entry, "attributes")
        for definition in label["attributes"]:
            attribute = ElementTree.SubElement(attributes, "attribute")
            for name in ("name", "mutable", "input_type", "default_value"):
                xml_child(attribute, name, str(definition[name]))
            xml_child(attribute, "values", "\n".join(definition["values"]))


def text_attribute(name: str) -> dict[str, Any]:
    """The definition of an attribute that holds text, as CVAT's raw label constructor has it."""
    return {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}


def xml_child(parent: ElementTree.Element, tag: str, text: str) -> None:
    """Adds an element with a text."""
    ElementTree.SubElement(parent, tag).text = text


def _tag(image: ElementTree.Element, label: str, note: str | None, grade: float | None) -> None:
    tag = ElementTree.SubElement(image, "tag", {"label": label, "source": "manual"})
    if note:
        ElementTree.SubElement(tag, "attribute", {"name": "note"}).text = xml_text(note)
    if grade is not None:
        ElementTree.SubElement(tag, "attribute", {"name": SEVERITY}).text = repr(grade).removesuffix(".0")


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type before an entity is declared (billion laughs); CVAT writes none."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ValueError("it declares a document type")


def parse_cvat(data: bytes, source: str, way_out: str) -> ElementTree.Element:
    """The root of annotations.xml, or of the one in the ZIP around it.

    UsageError, which ends with ``way_out``, for a damaged file and another format.
    """
    xml = _unpack(data, source, way_out)
    try:
        root = ElementTree.fromstring(xml, ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UsageError(f"{source} is damaged or not XML ({error}); {way_out}") from None
    if root.tag != "annotations":
        raise UsageError(f"{source} is not from CVAT: it holds <{root.tag}>, not <annotations>; {way_out}")
    return root


def _unpack(data: bytes, source: str, way_out: str) -> bytes:
    if not data.startswith(b"PK"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == _XML_NAME]
            if len(names) != 1:
                raise UsageError(f"{source} holds {len(names)} files {_XML_NAME}, not one; {way_out}")
            if archive.getinfo(names[0]).file_size > MAX_XML_BYTES:
                raise UsageError(f"{source} unpacks to more than {MAX_XML_BYTES >> 20} MiB; {way_out}, in parts")
            with archive.open(names[0]) as file:
                return file.read(MAX_XML_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise UsageError(f"{source} is a damaged ZIP ({error}); {way_out}") from None


def xml_text(text: str) -> str:
    """``text`` without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
