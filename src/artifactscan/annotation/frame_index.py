"""The index of extracted frames: which image shows which frame of which clip, and how images are named."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.messages.text import printable
from artifactscan.storage.parquet import read_table

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
was chosen for; scores: the mean over the checkpoints that were asked, null where none was."""

FRAMES_FOLDER = "frames"

_STEM_CHARS = 40
_DIGEST_BYTES = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def image_name(file: str, video_id: str, frame_index: int, suffix: str) -> str:
    """A file name for one frame: what can be read of the clip's name, 16 hex digits, the frame's index.

    Only letters, digits, ``_`` and ``-`` before the one dot, whatever the clip is called; the digest of ``file`` and
    ``video_id`` keeps apart clips that read alike.
    """
    stem = _UNSAFE.sub("-", PurePosixPath(file).stem).strip("-")[:_STEM_CHARS].rstrip("-")
    digest = blake2b(f"{video_id}\0{file}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{stem or 'clip'}-{digest}-{frame_index:06d}.{suffix}"


def read_index(uri: str) -> pa.Table:
    """Reads the INDEX that an extraction left; UsageError for a file that is none."""
    uri = storage.normalise(uri)
    try:
        table = read_table(uri)
        return table.select(INDEX.names).cast(INDEX)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"index {uri} is not there; give the index.parquet that jobs/extract.py wrote") from None
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise UsageError(f"index {uri} cannot be read ({said}); give the index.parquet of jobs/extract.py") from None


class FrameLookup:
    """Finds frames of an INDEX by the names that annotation tools give back for their images."""

    def __init__(self, index: pa.Table, source: str):
        """``source``: what the names are read from, for errors."""
        self.source = source
        columns = zip(*(index[name].to_pylist() for name in ("image", "file", "frame_index")), strict=True)
        self._frames = {PurePosixPath(image).name: (file, frame) for image, file, frame in columns}
        self._indices: dict[str, set[int]] = {}
        for file, frame in self._frames.values():
            self._indices.setdefault(file, set()).add(frame)
        self._by_stem = {PurePosixPath(name).stem: name for name in self._frames}

    def find(self, image: str) -> tuple[str, int]:
        """``file`` and ``frame_index`` of an image, given by path, name, stem or upload url.

        UsageError for an image that is not in the index.
        """
        name = PurePosixPath(unquote(image.rpartition("?d=")[2])).name
        for candidate in (name, _UPLOAD_PREFIX.sub("", name)):
            for known in (candidate, self._by_stem.get(candidate, "")):
                if known in self._frames:
                    return self._frames[known]
        raise UsageError(
            f"{self.source} names the image '{printable(image, 80)}', which is not in the index; "
            "give the index of the extraction that its images come from"
        )

    def check_frame(self, file: str, frame_index: int) -> None:
        """UsageError for a clip or a frame of it that is not in the index."""
        indices = self._indices.get(file)
        if indices is None:
            raise UsageError(
                f"{self.source} labels '{printable(file, 80)}', a file of which the index has no frame; "
                "give the index of the extraction that was labelled"
            )
        if frame_index not in indices:
            nearest = min(indices, key=lambda known: abs(known - frame_index))
            raise UsageError(
                f"{self.source} labels frame {frame_index} of '{printable(file, 80)}', which is not in the index; "
                f"the nearest that is there is {nearest}"
            )

    def check_label(self, label: str, image: str) -> str:
        """``label`` if it is one of LABELS; UsageError otherwise."""
        if label not in LABELS:
            raise UsageError(
                f"{self.source} gives the image '{printable(image, 80)}' the label '{printable(label, 40)}', which is "
                f"none of {', '.join(LABELS)}; rename it in the tool and export again"
            )
        return label

    def row(self, image: str, labels: set[str], annotator: str | None = None, note: str | None = None) -> dict:
        """A row of the labels table for an image and the labels it shows; UsageError as ``find``, ``check_label``."""
        file, frame_index = self.find(image)
        shown = {self.check_label(label, image) for label in sorted(labels)}
        cells = {label: int(label in shown) for label in LABELS}
        return {"file": file, "frame_index": frame_index, **cells, "annotator": annotator or None, "note": note or None}


def suggested(row: Mapping[str, object], thresholds: Mapping[str, float]) -> dict[str, float] | None:
    """Label → score of those that an INDEX row's scores put at or over their thresholds; None without scores."""
    scores = {label: row[column] for label, column in zip(LABELS, SCORE_COLUMNS, strict=True)}
    known = {label: score for label, score in scores.items() if isinstance(score, float)}
    if not known:
        return None
    return {label: score for label, score in known.items() if score >= thresholds[label]}
