"""Frames as image files: which of a video's frames are written, under what names, and what is told of it."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from artifactscan import storage
from artifactscan.annotation.frame_index import FRAMES_FOLDER, image_name
from artifactscan.decode.sandbox.supervisor import Segment
from artifactscan.schemas import VIDEO_FACTS

WORK = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("wanted", pa.list_(pa.int32())),
    ]
)
"""One row per video to take frames from. ``wanted``: indices of the frames, null for every sampled one."""

EXTRACTED = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *VIDEO_FACTS,
        pa.field(
            "frames",
            pa.list_(
                pa.struct(
                    [
                        pa.field("image", pa.string()),
                        pa.field("frame_index", pa.int32(), nullable=False),
                        pa.field("pts_s", pa.float64(), nullable=False),
                        pa.field("width", pa.int32(), nullable=False),
                        pa.field("height", pa.int32(), nullable=False),
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)
"""One row per video: its verdict, and the frames taken from it; ``image`` is null where none was asked for."""

LEDGER = pa.schema([*list(EXTRACTED)[:-1], pa.field("frames_written", pa.int32(), nullable=False)])
"""One row per listed video: what became of it, in the words of docs/outcomes.md, and how many frames were written."""

_PNG_LEVEL = 3
"""A little larger than at the default of 6, and much faster."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How frames become files."""

    root: str
    """Folder or s3:// prefix; images lie in frames/ below it."""
    format: str = "png"
    """png or jpeg."""
    jpeg_quality: int = 95

    @property
    def suffix(self) -> str:
        return "jpg" if self.format == "jpeg" else "png"

    def encode(self, rgb: np.ndarray) -> bytes:
        """A whole image file from uint8 RGB, (height, width, 3)."""
        file = io.BytesIO()
        image = Image.fromarray(rgb)
        if self.format == "jpeg":
            # 4:4:4: thin coloured edges would bleed otherwise, which is what annotators look for.
            image.save(file, "JPEG", quality=self.jpeg_quality, subsampling=0)
        else:
            image.save(file, "PNG", compress_level=_PNG_LEVEL)
        return file.getvalue()


def take_frames(row: dict[str, Any], segments: Iterable[Segment], images: ImageSettings | None) -> dict[str, Any]:
    """Writes the wanted frames of one video and returns its EXTRACTED row.

    ``row``: of WORK; ``segments``: of that video, the last one with its verdict; ``images``: None to write nothing.
    What an attempt wrote that did not count is removed. OSError where an image cannot be written.
    """
    taken: dict[str, list[dict[str, Any]]] = {}
    verdict, counts = None, ""
    for segment in segments:
        taken.setdefault(segment.attempt, []).extend(_take(row, segment, images))
        if segment.verdict is not None:
            verdict, counts = segment.verdict, segment.attempt
    assert verdict is not None, f"the segments of {row['uri']} carry no verdict"
    kept = taken.pop(counts)
    if images is not None:
        names = {frame["image"] for frame in kept}
        for image in {frame["image"] for frames in taken.values() for frame in frames} - names:
            storage.remove_tree(storage.join(images.root, image))
    identity = {name: row[name] for name in ("video_id", "uri", "file")}
    outcome = {"outcome": str(verdict.outcome), "reason": verdict.reason, **asdict(verdict.facts)}
    return {**identity, **outcome, "frames": kept}


def _take(row: dict[str, Any], segment: Segment, images: ImageSettings | None) -> Iterator[dict[str, Any]]:
    wanted = None if row["wanted"] is None else set(row["wanted"])
    shape = (len(segment.frame_index), segment.height, segment.width, 3)
    pixels = np.frombuffer(segment.pixels, np.uint8).reshape(shape)
    for rgb, frame_index, pts_s in zip(pixels, segment.frame_index, segment.pts_s, strict=True):
        if wanted is not None and frame_index not in wanted:
            continue
        image = None
        if images is not None:
            image = f"{FRAMES_FOLDER}/{image_name(row['file'], row['video_id'], frame_index, images.suffix)}"
            storage.write_bytes(storage.join(images.root, image), images.encode(rgb))
        size = {"width": segment.width, "height": segment.height}
        yield {"image": image, "frame_index": frame_index, "pts_s": pts_s, **size}
