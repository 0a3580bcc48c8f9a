"""Label Studio: exports frames as tasks with labels and predictions, and reads its JSON export back.

Source: https://labelstud.io/guide/task_format and /guide/predictions. An annotation without a choice is a clean
frame; a task without an annotation, or with skipped ones only, is not labelled yet. Ratings are grades.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pyarrow as pa

from artifactscan import storage
from artifactscan.annotation.frame_index import FrameLookup, severities_of, suggested_labels
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY, SCORE_COLUMNS

CHOICES, NOTE, FRAME = "artifacts", "note", "frame"
"""Names of two controls and of the image in the labelling configuration; results refer to them. The ratings are named
by SEVERITY_COLUMNS."""
VIDEO = "video"
"""The name of the video in the labelling configuration of a timeline; tasks have its address under it."""
ID_CHARS = 10
"""Length of a result's id, as Label Studio makes them."""

HINTS = {
    "boundary": "outlines broken, melting, doubled, bleeding into a neighbour",
    "texture": "smeared, waxy, boiling, tiled surfaces, garbled text",
    "motion": "impossible limbs, joints, gaits, physics",
    "object": "things appear, vanish, merge, change identity, float",
}
WAY_OUT = "export the project again as JSON"


def write_label_studio(
    index: pa.Table,
    *,
    root: str,
    labels: Mapping[tuple[str, int], Mapping[str, Any]],
    thresholds: Mapping[str, float],
    model_version: str,
) -> dict[str, bytes]:
    """File name → content: tasks.json for INDEX rows, and config.xml, the labelling configuration.

    ``root``: folder of the images. On S3 tasks have their uris; otherwise the paths of Label Studio's local files, with
    ``root`` as LOCAL_FILES_DOCUMENT_ROOT. ``labels``: (file, frame_index) → LABELLED row, which become annotations.
    Labels whose scores reach their threshold become predictions; their ``score`` is the certainty of the least certain
    label, 0.5 to 1.
    """
    tasks = []
    for row in index.to_pylist():
        image = row["image"]
        url = storage.join(root, image) if storage.is_remote(root) else f"/data/local-files/?d={quote(image)}"
        names = {name: row[name] for name in ("file", "frame_index", "pts_s")}
        task: dict[str, Any] = {"data": {"image": url, FRAME: image, **names}}
        given, scores = labels.get((row["file"], row["frame_index"])), suggested_labels(row, thresholds)
        if scores is not None:
            certainty = min(max(row[column], 1 - row[column]) for column in SCORE_COLUMNS)
            result = _result(image, list(scores))
            task["predictions"] = [{"model_version": model_version, "score": certainty, "result": result}]
        if given is not None:
            shown = [label for label in LABELS if given[label]]
            result = _result(image, shown, note=given.get("note"), grades=severities_of(given))
            task["annotations"] = [{"result": result, "was_cancelled": False}]
        tasks.append(task)
    return {"tasks.json": json.dumps(tasks, indent=1, ensure_ascii=False).encode(), "config.xml": _config()}


def _result(
    image: str, shown: list[str], *, note: str | None = None, grades: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    stem = image.rpartition("/")[2].rpartition(".")[0]
    result: list[dict[str, Any]] = []
    if shown:
        result.append({"from_name": CHOICES, "type": "choices", "value": {"choices": shown}})
    for label, grade in (grades or {}).items():
        result.append({"from_name": f"severity_{label}", "type": "rating", "value": {"rating": grade}})
    if note:
        result.append({"from_name": NOTE, "type": "textarea", "value": {"text": [note]}})
    digits = 1 - ID_CHARS
    return [
        {"id": f"{'abcdefgh'[number]}{stem[digits:]}", "to_name": FRAME, **part} for number, part in enumerate(result)
    ]


def _config() -> bytes:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", {"name": FRAME, "value": "$image", "zoom": "true", "zoomControl": "true"})
    choices = ElementTree.SubElement(view, "Choices", {"name": CHOICES, "toName": FRAME, "choice": "multiple"})
    for key, label in enumerate(LABELS, 1):
        ElementTree.SubElement(choices, "Choice", {"value": label, "hint": HINTS[label], "hotkey": str(key)})
    for label in LABELS:
        ElementTree.SubElement(
            view, "Header", {"value": f"{label}: 1 slight or doubtful, 2 clear, 3 gross", "size": "5"}
        )
        rating = {"name": f"severity_{label}", "toName": FRAME, "maxRating": str(MAX_SEVERITY)}
        ElementTree.SubElement(view, "Rating", rating)
    ElementTree.SubElement(view, "TextArea", {"name": NOTE, "toName": FRAME, "placeholder": "what you see, and where"})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="utf-8")


def read_label_studio(data: bytes, lookup: FrameLookup) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from a JSON export, one per annotation; None for each frame not labelled yet.

    UsageError for a damaged file, another format, an unknown image or label, and grades that FrameLookup.row refuses.
    """
    source = lookup.source
    for number, task in read_tasks(data, source):
        image = task["data"].get(FRAME) or task["data"].get("image")
        if image is None and VIDEO in task["data"]:
            raise UsageError(
                f"{source}: task {number} is of a video, and --index is of extracted frames; give the index of the "
                "export of events"
            )
        if not isinstance(image, str):
            raise UsageError(f"{source}: task {number} names no image in data.{FRAME} or data.image; {WAY_OUT}")
        try:
            rows = [_row(annotation, image, lookup) for annotation in submitted_annotations(task)]
        except (AttributeError, KeyError, TypeError):
            raise not_understood(source, number) from None
        if not rows:
            lookup.find(image)
        yield from rows or [None]


def read_tasks(data: bytes, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and content of each task in a JSON export; UsageError for a damaged file and another format."""
    try:
        tasks = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is damaged or not JSON ({error}); {WAY_OUT}") from None
    if not isinstance(tasks, list):
        raise UsageError(f"{source} holds {type(tasks).__name__}, not a list of tasks; {WAY_OUT}")
    for number, task in enumerate(tasks, 1):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise UsageError(f"{source}: task {number} has no data, as in JSON-MIN exports; {WAY_OUT}")
        yield number, task


def submitted_annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    """What people submitted for a task; skipping it is no answer."""
    return [annotation for annotation in task.get("annotations") or [] if not annotation.get("was_cancelled")]


def annotator_of(annotation: dict[str, Any]) -> str | None:
    """Who submitted an annotation: an address, or a number where the export names no more."""
    by = annotation.get("completed_by")
    annotator = by.get("email") or by.get("id") if isinstance(by, dict) else by
    return None if annotator is None else str(annotator)


def not_understood(source: str, number: int) -> UsageError:
    """An error for a task whose results have another form."""
    return UsageError(f"{source}: task {number} has a result that is not understood; {WAY_OUT}")


def _row(annotation: dict[str, Any], image: str, lookup: FrameLookup) -> dict[str, Any]:
    shown: set[str] = set()
    notes: list[str] = []
    grades: list[tuple[str, Any]] = []
    for part in annotation["result"]:
        if part["type"] == "choices":
            shown.update(part["value"]["choices"])
        elif part["type"] == "rating":
            grades.append((part["from_name"].removeprefix("severity_"), part["value"]["rating"]))
        elif part["type"] == "textarea":
            notes += part["value"]["text"]
    return lookup.row(
        image, shown, severities=grades or None, annotator=annotator_of(annotation), note="; ".join(notes)
    )
