"""FiftyOne: a video dataset with the events as temporal detections and the scores as labels of frames.

Source: https://docs.voxel51.com/user_guide/import_datasets.html (FiftyOneDataset) and
https://github.com/voxel51/fiftyone (fiftyone/core/odm/dataset.py): metadata.json describes the fields, samples.json and
frames.json hold the documents, in MongoDB's extended JSON. FiftyOne brings a dataset of VERSION up to its own.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from artifactscan import storage
from artifactscan.annotation.fiftyone_temporal import EVENTS_FIELD, FIRST_FRAME, LABELS_FIELD, SCORES_FIELD
from artifactscan.export.events.scored_video import ScoredVideo
from artifactscan.labels import LABELS

METADATA_NAME, SAMPLES_NAME, FRAMES_NAME = "metadata.json", "samples.json", "frames.json"
VERSION = "1.0.0"
"""The version of FiftyOne whose documents these are; later ones read them."""
_ID_DIGITS = 24
_CREATED = {"$date": "1970-01-01T00:00:00Z"}
"""The same in every export, so that writing again gives the same bytes."""
_FIELDS, _LABELS = "fiftyone.core.fields", "fiftyone.core.labels"


def make_metadata(*, scorer: str, spec: str) -> bytes:
    """metadata.json: the fields of samples and frames, the classes, and what the scores are of."""
    string, number, whole = (f"{_FIELDS}.{kind}Field" for kind in ("String", "Float", "Int"))
    tags = _field("tags", f"{_FIELDS}.ListField", subfield=string)
    id = f"{_FIELDS}.ObjectIdField"
    times = [_field(time, f"{_FIELDS}.DateTimeField", read_only=True) for time in ("created_at", "last_modified_at")]
    identity = _field("id", id, db_field="_id")
    label = [identity, tags, _field("label", string), _field("confidence", number)]
    support = _field("support", f"{_FIELDS}.FrameSupportField", subfield=whole)
    facts = {"size_bytes": whole, "mime_type": string, "frame_width": whole, "frame_height": whole}
    facts |= {"frame_rate": number, "total_frame_count": whole, "duration": number, "encoding_str": string}
    video = [_field(fact, kind) for fact, kind in facts.items()]
    detections = _list_field("detections", f"{_LABELS}.TemporalDetection", [*label, support])
    classifications = _list_field("classifications", f"{_LABELS}.Classification", label)
    sample_fields = [
        identity,
        _field("_media_type", string),
        _field("_rand", number),
        _field("_dataset_id", id),
        _field("filepath", string),
        tags,
        _document_field("metadata", "fiftyone.core.metadata.VideoMetadata", video),
        *times,
        _field("file", string),
        _field("video_id", string),
        _document_field(EVENTS_FIELD, f"{_LABELS}.TemporalDetections", [detections]),
        _document_field(LABELS_FIELD, f"{_LABELS}.TemporalDetections", [detections]),
    ]
    frame_fields = [
        identity,
        _field("_sample_id", id),
        _field("_dataset_id", id),
        _field("frame_number", f"{_FIELDS}.FrameNumberField"),
        *times,
        _document_field(SCORES_FIELD, f"{_LABELS}.Classifications", [classifications]),
    ]
    metadata = {
        "name": "artifactscan",
        "version": VERSION,
        "created_at": _CREATED,
        "last_modified_at": _CREATED,
        "media_type": "video",
        "tags": [],
        "info": {"scored_by": scorer, "spec": spec},
        "classes": {field: list(LABELS) for field in (EVENTS_FIELD, LABELS_FIELD, f"frames.{SCORES_FIELD}")},
        "default_classes": list(LABELS),
        "sample_fields": sample_fields,
        "frame_fields": frame_fields,
    }
    return json.dumps(metadata, indent=1).encode()


def make_sample(video: ScoredVideo) -> bytes:
    """The document of one video.

    ``filepath`` is where the video is on a disk; of one on an object storage it is the path below the corpus, which
    FiftyOne completes by the folder of a copy that it is given (``rel_dir``).
    """
    sample = {
        "_id": {"$oid": video.video_id[:_ID_DIGITS]},
        "filepath": video.file if storage.is_remote(video.uri) else video.uri,
        "tags": [],
        "metadata": _metadata(video.facts),
        "_media_type": "video",
        "_rand": int(video.video_id[-8:], 16) / 2**32,
        "created_at": _CREATED,
        "last_modified_at": _CREATED,
        "_dataset_id": {"$oid": "0" * _ID_DIGITS},
        "file": video.file,
        "video_id": video.video_id,
        EVENTS_FIELD: {"_cls": "TemporalDetections", "detections": _detections(video)},
        LABELS_FIELD: None,
    }
    return json.dumps(sample, ensure_ascii=False).encode()


def make_frames(video: ScoredVideo) -> Iterable[bytes]:
    """The document of each sampled frame: four classifications, each with its score as confidence."""
    sample_id = {"$oid": video.video_id[:_ID_DIGITS]}
    for index, _, scores in video.frames:
        digits = _digits(video.video_id, f"frame {index}")
        classifications = [
            {"_id": {"$oid": f"{digits[:-2]}{n + 1:02x}"}, "_cls": "Classification", "tags": [], "label": label}
            | {"confidence": score}
            for n, (label, score) in enumerate(zip(LABELS, scores, strict=True))
        ]
        frame = {
            "_id": {"$oid": f"{digits[:-2]}00"},
            "frame_number": index + FIRST_FRAME,
            "_sample_id": sample_id,
            "_dataset_id": {"$oid": "0" * _ID_DIGITS},
            "created_at": _CREATED,
            "last_modified_at": _CREATED,
            SCORES_FIELD: {"_cls": "Classifications", "classifications": classifications},
        }
        yield json.dumps(frame).encode()


def _metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_cls": "VideoMetadata",
        "size_bytes": facts.get("size_bytes"),
        "mime_type": None,
        "frame_width": facts.get("width"),
        "frame_height": facts.get("height"),
        "frame_rate": facts.get("fps"),
        "total_frame_count": facts.get("frames_in_video"),
        "duration": facts.get("duration_s"),
        "encoding_str": None,
    }


def _detections(video: ScoredVideo) -> list[dict[str, Any]]:
    return [
        {
            "_id": {"$oid": _digits(video.video_id, f"event {number}")},
            "_cls": "TemporalDetection",
            "tags": [],
            "label": event.label,
            "support": [event.first_frame + FIRST_FRAME, event.last_frame + FIRST_FRAME],
            "confidence": event.peak,
        }
        for number, event in enumerate(video.events)
    ]


def _digits(video_id: str, what: str) -> str:
    return blake2b(f"{video_id} {what}".encode(), digest_size=_ID_DIGITS // 2).hexdigest()


def _field(name: str, ftype: str, **others: Any) -> dict[str, Any]:
    """The description of a field, as FiftyOne stores it."""
    defaults = {"embedded_doc_type": None, "subfield": None, "fields": [], "db_field": name}
    notes = {"description": None, "info": None, "read_only": False, "created_at": _CREATED}
    return {"name": name, "ftype": ftype, **defaults, **notes, **others}


def _document_field(name: str, document: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    kind = {"embedded_doc_type": document, "fields": fields}
    return _field(name, f"{_FIELDS}.EmbeddedDocumentField", **kind)


def _list_field(name: str, document: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    kind = {"subfield": f"{_FIELDS}.EmbeddedDocumentField", "embedded_doc_type": document, "fields": fields}
    return _field(name, f"{_FIELDS}.ListField", **kind)
