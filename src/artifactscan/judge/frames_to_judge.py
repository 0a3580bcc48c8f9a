"""The frames that a judge is shown: a frame and its neighbours as JPEG images, chosen from an extraction's index."""

import io
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from artifactscan import storage
from artifactscan.storage.digest import digest

ASKS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("ask", pa.int8(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field(
            "neighbours",
            pa.list_(pa.struct([pa.field("image", pa.string()), pa.field("pts_s", pa.float64())])),
            nullable=False,
        ),
    ]
)
"""One row per question to the judge. ``ask``: 0, or 1 where a frame is asked about a second time; ``image`` and
``neighbours``: paths below the index's folder."""

FrameKey = tuple[str, int]
"""file and frame_index."""

_JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One image of a clip."""

    pts_s: float
    jpeg: bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameToJudge:
    """A frame to be graded, with the frames of its clip that are shown beside it."""

    file: str
    frame_index: int
    shot: Shot
    neighbours: tuple[Shot, ...] = ()


def encode_shot(rgb: np.ndarray, *, pts_s: float, image_side: int) -> Shot:
    """A Shot of uint8 RGB (height, width, 3), scaled down where its longer side exceeds ``image_side`` pixels."""
    return _encode(Image.fromarray(rgb), pts_s, image_side)


def read_frame(row: Mapping[str, Any], root: str, *, image_side: int) -> FrameToJudge:
    """Reads the images of an ASKS row below ``root``; OSError for one that is missing or no image."""
    shots = [
        _read_shot(storage.join(root, picture["image"]), picture["pts_s"], image_side)
        for picture in (row, *row["neighbours"])
    ]
    return FrameToJudge(file=row["file"], frame_index=row["frame_index"], shot=shots[0], neighbours=tuple(shots[1:]))


def plan_asks(
    index: pa.Table, wanted: Iterable[FrameKey], *, neighbours: int, gap_s: float, repeat_share: float
) -> pa.Table:
    """ASKS rows for the ``wanted`` frames of an INDEX, the second questions included, sorted by clip and frame.

    A frame is shown with up to ``neighbours`` frames of the index on each side that are at most ``gap_s`` seconds away.
    """
    clips: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in index.select(["file", "frame_index", "image", "pts_s"]).to_pylist():
        clips[row["file"]].append(row)
    rows = []
    for file, keys in _by_file(wanted).items():
        frames = sorted(clips[file], key=lambda frame: frame["frame_index"])
        indices = [frame["frame_index"] for frame in frames]
        for frame_index in keys:
            at = bisect_left(indices, frame_index)
            near = [*frames[max(0, at - neighbours) : at], *frames[at + 1 : at + 1 + neighbours]]
            near = [frame for frame in near if abs(frame["pts_s"] - frames[at]["pts_s"]) <= gap_s]
            asks = 2 if asked_twice((file, frame_index), repeat_share) else 1
            rows += [{**frames[at], "ask": ask, "neighbours": near} for ask in range(asks)]
    return pa.Table.from_pylist(rows, ASKS)


def index_digest(index: pa.Table, root: str) -> str:
    """A digest of an INDEX's frames and of its images below ``root``: their sizes, and on S3 their etags."""
    images: dict[str, list[Any]] = {}
    for folder in sorted({image.rpartition("/")[0] for image in index["image"].to_pylist()}):
        images |= _images(root, folder)
    rows = index.select(["file", "frame_index", "image", "pts_s"]).to_pylist()
    return digest(sorted([*row.values(), images.get(row["image"])] for row in rows))


def _images(root: str, folder: str) -> dict[str, list[Any]]:
    """Path below ``root`` → what tells whether an image in ``folder`` changed."""
    place = storage.join(root, folder) if folder else root
    if storage.is_remote(root):
        start = len(storage.split_bucket(root)[1])
        return {key[start:].lstrip("/"): [size, etag] for key, size, etag, _ in storage.list_objects(place)}
    if not Path(place).is_dir():
        return {}
    return {f"{folder}/{path.name}".lstrip("/"): [path.stat().st_size] for path in Path(place).iterdir()}


def asked_twice(frame: FrameKey, share: float) -> bool:
    """Whether a frame belongs to the ``share`` of frames that are asked about twice; the same ones every time."""
    number = int.from_bytes(sha256(f"{frame[0]}\0{frame[1]}".encode()).digest()[:8], "big")
    return number < share * 2**64


def _by_file(frames: Iterable[FrameKey]) -> dict[str, list[int]]:
    by_file: defaultdict[str, list[int]] = defaultdict(list)
    for file, frame_index in sorted(set(frames)):
        by_file[file].append(frame_index)
    return by_file


def _read_shot(uri: str, pts_s: float, image_side: int) -> Shot:
    data = storage.read_bytes(uri)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _encode(image.convert("RGB"), pts_s, image_side)
    except (UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise OSError(f"{uri}: not a readable image ({' '.join(str(error).split())})") from None


def _encode(image: Image.Image, pts_s: float, image_side: int) -> Shot:
    if max(image.size) > image_side:
        image.thumbnail((image_side, image_side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)  # 4:4:4: subsampling blurs thin coloured edges
    return Shot(pts_s=pts_s, jpeg=file.getvalue())
