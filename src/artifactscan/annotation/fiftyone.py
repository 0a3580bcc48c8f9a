"""FiftyOne: exports frames as a multi-label FiftyOneImageClassificationDataset, and reads that format back.

Source: https://docs.voxel51.com/user_guide/export_datasets.html. An empty list is a clean frame; null is a
frame not labelled yet. The attribute SEVERITY of a label is its grade.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from artifactscan.annotation.frame_index import FrameLookup, severities_of, suggested_labels
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS

SEVERITY = "severity"

_TO_ROOT = "../.."
"""From export/fiftyone/ to the folder that image paths start from."""
_WAY_OUT = "export it again as FiftyOneImageClassificationDataset"


def write_fiftyone(
    index: pa.Table,
    *,
    labels: Mapping[tuple[str, int], Mapping[str, Any]],
    thresholds: Mapping[str, float],
) -> dict[str, bytes]:
    """File name → content: labels.json and predictions.json for INDEX rows, and data.json with the paths of images.

    ``labels``: (file, frame_index) → LABELLED row, for labels.json, of graded rows the labels with a grade above 0.
    predictions.json has the labels whose scores reach their threshold.
    """
    targets: dict[str, list[Any] | None] = {}
    predictions: dict[str, list[dict[str, float]] | None] = {}
    paths: dict[str, str] = {}
    for row in index.to_pylist():
        stem = PurePosixPath(row["image"]).stem
        paths[stem] = f"{_TO_ROOT}/{row['image']}"
        given, scores = labels.get((row["file"], row["frame_index"])), suggested_labels(row, thresholds)
        targets[stem] = None if given is None else _targets(given)
        predictions[stem] = None
        if scores is not None:
            predictions[stem] = [{"label": LABELS.index(label), "confidence": score} for label, score in scores.items()]
    classes = list(LABELS)
    files = {
        "labels.json": {"classes": classes, "labels": targets},
        "predictions.json": {"classes": classes, "labels": predictions},
        "data.json": paths,
    }
    return {name: json.dumps(content, indent=1).encode() for name, content in files.items()}


def read_fiftyone(data: bytes, lookup: FrameLookup) -> Iterator[dict[str, Any] | None]:
    """Rows of the labels table from a labels.json; None for each frame not labelled yet.

    UsageError for a damaged file, another format, an unknown image or label, and grades that FrameLookup.row refuses.
    """
    source = lookup.source
    dataset = None
    try:
        dataset = json.loads(data)
        classes, targets = dataset.get("classes"), dataset["labels"]
        entries = targets.items()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is damaged or not JSON ({error}); {_WAY_OUT}") from None
    except (AttributeError, KeyError, TypeError):
        if isinstance(dataset, dict) and "samples" in dataset:
            raise UsageError(
                f"{source} is the samples.json of a dataset, and --index is of extracted frames; give the index of the "
                f"export of events, or {_WAY_OUT}"
            ) from None
        raise UsageError(f"{source} has no object `labels`; {_WAY_OUT}") from None
    for image, target in entries:
        if target is None:
            lookup.find(image)
            yield None
            continue
        several = target if isinstance(target, list) else [target]
        graded = [(_label(one, classes, image, source), _grade(one)) for one in several]
        grades = [(label, grade) for label, grade in graded if grade is not None]
        yield lookup.row(image, {label for label, _ in graded}, severities=grades or None)


def _targets(row: Mapping[str, Any]) -> list[Any]:
    """The labels of a LABELLED row: their numbers, or of a graded row objects with number and grade."""
    grades = severities_of(row)
    if grades is None:
        return [number for number, label in enumerate(LABELS) if row[label]]
    numbered = enumerate(grades.values())
    return [{"label": number, "attributes": {SEVERITY: grade}} for number, grade in numbered if grade > 0]


def _grade(target: Any) -> Any:
    """The grade in one label of a frame; None where it has none."""
    attributes = target.get("attributes") if isinstance(target, dict) else None
    return attributes.get(SEVERITY) if isinstance(attributes, dict) else None


def _label(target: Any, classes: Any, image: str, source: str) -> str:
    if isinstance(target, dict):
        target = target.get("label")
    if isinstance(target, str):
        return target.strip()
    if isinstance(target, int) and isinstance(classes, list) and 0 <= target < len(classes):
        return str(classes[target])
    raise UsageError(
        f"{source} gives the image {image!r} the class {target!r}, which its list of classes does not have; {_WAY_OUT}"
    )
