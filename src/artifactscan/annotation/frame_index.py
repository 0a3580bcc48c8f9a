"""The index of extracted frames: image names, and which frame of which clip each image shows."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from artifactscan.annotation.index_file import read_index_file
from artifactscan.annotation.merge_rows import labels_of_severities
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY, SCORE_COLUMNS, SEVERITY_COLUMNS
from artifactscan.messages.text import printable

INDEX = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("value", pa.float64()),
        *(pa.field(column, pa.float32()) for column in SCORE_COLUMNS),
    ]
)
"""One row per extracted frame. ``image``: path below the index's folder; ``file``: the clip's path below the input, as
the labels table has it; ``width`` and ``height`` of the image, pixels; ``value``: the uncertainty or disagreement it
was chosen by; scores: the mean over the checkpoints, null without any."""

FRAMES_FOLDER = "frames"

_STEM_CHARS = 40
_DIGEST_BYTES = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_COPY = re.compile(r"(-[0-9a-f]{16}-[0-9]{6,})(?:[_-][0-9]+| ?\([0-9]+\))(?=\.|$)")
"""An image name with the number that a tool appends where the same image is there twice: CVAT _1 for a second task's,
FiftyOne -2, browsers (1)."""


def image_name(file: str, video_id: str, frame_index: int, suffix: str) -> str:
    """The file name of one frame: the readable part of the clip's name, 16 hex digits, and the frame's index.

    It has only letters, digits, ``_`` and ``-`` before the dot. The hex digits are a digest of ``file`` and
    ``video_id``, so that clips with the same readable part do not clash.
    """
    stem = _UNSAFE.sub("-", PurePosixPath(file).stem).strip("-")[:_STEM_CHARS].rstrip("-")
    digest = blake2b(f"{video_id}\0{file}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{stem or 'clip'}-{digest}-{frame_index:06d}.{suffix}"


def read_index(uri: str) -> pa.Table:
    """Reads the INDEX that an extraction wrote; UsageError for any other file."""
    return read_index_file(uri, INDEX, wanted="the index.parquet of `artifactscan extract`")


class FrameLookup:
    """Finds frames of an INDEX by the image names that labelling tools return."""

    def __init__(self, index: pa.Table, source: str):
        """``source``: the file that the names come from, for errors."""
        self.source = source
        columns = zip(*(index[name].to_pylist() for name in ("image", "file", "frame_index")), strict=True)
        self._frames = {PurePosixPath(image).name: (file, frame) for image, file, frame in columns}
        self._indices: dict[str, set[int]] = {}
        for file, frame in self._frames.values():
            self._indices.setdefault(file, set()).add(frame)
        self._by_stem = {PurePosixPath(name).stem: name for name in self._frames}

    def find(self, image: str) -> tuple[str, int]:
        """``file`` and ``frame_index`` of an image, given by path, name, stem, upload URL or a tool's name for a copy.

        UsageError for an image that is not in the index.
        """
        name = PurePosixPath(unquote(image.rpartition("?d=")[2])).name
        original = _COPY.sub(r"\1", name)
        for candidate in (name, _UPLOAD_PREFIX.sub("", name), original, _UPLOAD_PREFIX.sub("", original)):
            for known in (candidate, self._by_stem.get(candidate, "")):
                if known in self._frames:
                    return self._frames[known]
        raise UsageError(
            f"{self.source} names the image '{printable(image, 80)}', which is not in the index; "
            "give the index of the extraction that its images come from"
        )

    def check_frame(self, file: str, frame_index: int) -> None:
        """UsageError for a clip or a frame of it that is not in the index."""
        known = self._indices.get(file, ())
        if frame_index not in known:
            raise not_in_the_index(self.source, file, frame_index, known)

    def row(
        self,
        image: str,
        labels: set[str],
        *,
        severities: Iterable[tuple[str, Any]] | None = None,
        annotator: str | None = None,
        note: str | None = None,
    ) -> dict[str, Any]:
        """A row of the labels table for an image and the labels it shows.

        ``severities``: label and grade pairs of a graded frame, None for one without grades. Labels that they do not
        name have grade 0, and the grades decide what the frame shows. UsageError for an unknown image or label, for a
        grade outside 0 to MAX_SEVERITY, and in a graded frame for a label in ``labels`` with two grades or none.
        """
        file, frame_index = self.find(image)
        name = f"the image '{printable(image, 80)}'"
        grades: dict[str, Any] = {}
        for label, grade in severities or ():
            if (first := grades.setdefault(label, grade)) != grade:
                raise UsageError(
                    f"{self.source} gives {name} the severities {first} and {grade} for {label}; remove one of them"
                )
        if unknown := sorted({*labels, *grades} - set(LABELS)):
            raise UsageError(
                f"{self.source} gives {name} the label '{printable(unknown[0], 40)}', "
                f"which is none of {', '.join(LABELS)}; rename it in the tool and export again"
            )
        if grades and (without := sorted(labels - grades.keys())):
            raise UsageError(
                f"{self.source} gives {name} a severity for {next(iter(grades))} and none for {without[0]}; "
                "grade each label that it shows and export again"
            )
        values = None if severities is None else [self._grade(grades.get(label, 0), label, name) for label in LABELS]
        shown = labels_of_severities(values) if values else [int(label in labels) for label in LABELS]
        return {
            "file": file,
            "frame_index": frame_index,
            **dict(zip(LABELS, shown, strict=True)),
            **dict(zip(SEVERITY_COLUMNS, values or [None] * len(LABELS), strict=True)),
            "annotator": annotator or None,
            "note": note or None,
            "generator": None,
        }

    def _grade(self, value: Any, label: str, name: str) -> float:
        try:
            grade = float(value)
        except (TypeError, ValueError):
            grade = math.nan
        if not 0 <= grade <= MAX_SEVERITY:
            raise UsageError(
                f"{self.source} gives {name} the severity '{printable(str(value), 40)}' for {label}, which is not a "
                f"grade from 0 to {MAX_SEVERITY}; correct it in the tool and export again"
            )
        return grade


def not_in_the_index(source: str, file: str, frame_index: int, known: Collection[int]) -> UsageError:
    """An error for a frame that ``source`` labels; ``known``: the frames of the clip that are in the index."""
    if not known:
        return UsageError(
            f"{source} labels '{printable(file, 80)}', a file of which the index has no frame; "
            "give the index of the extraction that was labelled"
        )
    nearest = min(known, key=lambda index: abs(index - frame_index))
    return UsageError(
        f"{source} labels frame {frame_index} of '{printable(file, 80)}', which is not in the index; "
        f"the nearest that is there is {nearest}"
    )


def suggested_labels(row: Mapping[str, object], thresholds: Mapping[str, float]) -> dict[str, float] | None:
    """Label → score for the labels of an INDEX row that reach their thresholds; None without scores."""
    scores = {label: row[column] for label, column in zip(LABELS, SCORE_COLUMNS, strict=True)}
    known = {label: score for label, score in scores.items() if isinstance(score, float)}
    if not known:
        return None
    return {label: score for label, score in known.items() if score >= thresholds[label]}


def severities_of(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Label → grade of a LABELLED row; None where it has no grades."""
    grades = {label: row.get(column) for label, column in zip(LABELS, SEVERITY_COLUMNS, strict=True)}
    known = {label: grade for label, grade in grades.items() if grade is not None}
    return known or None
