"""Writes the wanted frames of one video as image files."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from artifactscan import storage
from artifactscan.annotation.frame_index import FRAMES_FOLDER, image_name
from artifactscan.decode.segment import Segment

_PNG_LEVEL = 3
"""Files are a little larger than at the default of 6, and written much faster."""


@dataclass(frozen=True, kw_only=True)
class ImageWriter:
    """Writes frames as image files below frames/ of a folder."""

    root: str
    """Folder or s3:// prefix."""
    format: str = "png"
    """png or jpeg."""
    jpeg_quality: int = 95

    def write(self, rgb: np.ndarray, *, file: str, video_id: str, frame_index: int) -> str:
        """Writes one frame, uint8 RGB (height, width, 3), and returns the image's path below the root.

        OSError where it cannot be written.
        """
        suffix = "jpg" if self.format == "jpeg" else "png"
        image = f"{FRAMES_FOLDER}/{image_name(file, video_id, frame_index, suffix)}"
        storage.write_bytes(storage.join(self.root, image), self.encode(rgb))
        return image

    def remove(self, image: str) -> None:
        """Removes an image by the path that ``write`` returned."""
        storage.remove_tree(storage.join(self.root, image))

    def encode(self, rgb: np.ndarray) -> bytes:
        """An image file of a frame, uint8 RGB (height, width, 3)."""
        file = io.BytesIO()
        image = Image.fromarray(rgb)
        if self.format == "jpeg":
            # 4:4:4, as subsampling blurs thin coloured edges, which annotators look for.
            image.save(file, "JPEG", quality=self.jpeg_quality, subsampling=0)
        else:
            image.save(file, "PNG", compress_level=_PNG_LEVEL)
        return file.getvalue()


def take_frames(row: dict[str, Any], segments: Iterable[Segment], writer: ImageWriter | None) -> dict[str, Any]:
    """Writes the wanted frames of one video and returns its EXTRACTED row.

    ``row``: of WORK. ``segments``: of that video, the last one with its verdict. ``writer``: None to write nothing.
    Images from an attempt other than the one that came to the verdict are removed. OSError where an image cannot be
    written.
    """
    frames_by_attempt: dict[str, list[dict[str, Any]]] = {}
    verdict, attempt = None, ""
    for segment in segments:
        frames_by_attempt.setdefault(segment.attempt, []).extend(_take_segment(row, segment, writer))
        if segment.result is not None:
            verdict, attempt = segment.result, segment.attempt
    assert verdict is not None, f"the segments of {row['uri']} carry no verdict"
    frames = frames_by_attempt.pop(attempt)
    if writer is not None:
        stale = {frame["image"] for others in frames_by_attempt.values() for frame in others}
        for image in stale - {frame["image"] for frame in frames}:
            writer.remove(image)
    identity = {name: row[name] for name in ("video_id", "uri", "file")}
    outcome = {"outcome": str(verdict.outcome), "reason": verdict.reason, **asdict(verdict.facts)}
    return {**identity, **outcome, "frames": frames}


def _take_segment(row: dict[str, Any], segment: Segment, writer: ImageWriter | None) -> Iterator[dict[str, Any]]:
    wanted = None if row["wanted"] is None else set(row["wanted"])
    shape = (len(segment.frame_index), segment.height, segment.width, 3)
    pixels = np.frombuffer(segment.pixels, np.uint8).reshape(shape)
    for rgb, frame_index, pts_s in zip(pixels, segment.frame_index, segment.pts_s, strict=True):
        if wanted is not None and frame_index not in wanted:
            continue
        image = None
        if writer is not None:
            image = writer.write(rgb, file=row["file"], video_id=row["video_id"], frame_index=frame_index)
        size = {"width": segment.width, "height": segment.height}
        yield {"image": image, "frame_index": frame_index, "pts_s": pts_s, **size}
