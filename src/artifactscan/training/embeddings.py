"""Embeddings: what a probe's backbone gives for labelled frames and their neighbours, computed once and kept.

FOLDER/<key>/*.parquet   EMBEDDINGS rows, a file for each time that frames were added

The key depends on the backbone's weights and on what is read of it, not on labels: after relabelling nothing is
computed again.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
from safetensors import deserialize

from artifactscan import storage
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.video import DECODING_VERSION
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.storage.digest import digest
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.training.labelled_frames import LabelledFrames

EMBEDDINGS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("window", pa.list_(pa.int32())),
        pa.field("features", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One row per frame. ``window``: the frame indices that the score of a labelled frame depends on, itself in the middle;
null for frames that are only neighbours. ``features``: (tiles, width) in C order."""

CLIPS_TO_EMBED = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("wanted", pa.list_(pa.int32()), nullable=False),
    ]
)
"""One row per clip, with its labelled frames that are not embedded yet."""


@dataclass(frozen=True)
class EmbeddingCache:
    """The stored embeddings of one probe's backbone."""

    root: str
    """Folder, local or s3://."""

    def read(self) -> pa.Table:
        """EMBEDDINGS of all frames; a frame that was added twice comes twice."""
        parts = [read_table(file).cast(EMBEDDINGS) for file in parquet_files(self.root)]
        return pa.concat_tables([EMBEDDINGS.empty_table(), *parts])


def find_embeddings(folder: str, checkpoint: Checkpoint, *, bf16: bool = False) -> EmbeddingCache:
    """The embeddings that a probe reads of clips, in bf16 or fp32."""
    card = checkpoint.card
    assert card.probe is not None
    read = [card.backbone, _backbone_digest(checkpoint), card.probe.blocks, card.probe.tokens, card.probe.tiles]
    pixels = [card.input.height, card.input.width, card.input.resize, card.input.mean, card.input.std, DECODING_VERSION]
    key = digest([read, pixels, card.context_frames, card.probe.sample_fps, "bf16" if bf16 else "fp32"])
    return EmbeddingCache(storage.join(storage.normalise(folder), key))


def clips_to_embed(labelled: LabelledFrames, stored: pa.Table) -> pa.Table:
    """CLIPS_TO_EMBED: the labelled frames without a window in ``stored``, EMBEDDINGS; largest object first."""
    columns = [stored[name].to_pylist() for name in ("video_id", "frame_index", "window")]
    there = set(zip(*columns[:2], strict=True))
    # A run that was cut off may have stored a frame without its neighbours.
    known = {
        (video, index)
        for video, index, window in zip(*columns, strict=True)
        if window is not None and all((video, one) in there for one in window)
    }
    wanted: dict[str, list[int]] = {}
    for file, index in zip(labelled.files, labelled.table["frame_index"].to_pylist(), strict=True):
        if (_id(labelled, file), index) not in known:
            wanted.setdefault(file, []).append(index)
    rows = [
        {
            "video_id": _id(labelled, file),
            "uri": labelled.clips[file].uri,
            "etag": labelled.clips[file].etag,
            "size_bytes": labelled.clips[file].size_bytes,
            "file": file,
            "wanted": indices,
        }
        for file, indices in wanted.items()
    ]
    return pa.Table.from_pylist(rows, CLIPS_TO_EMBED).sort_by([("size_bytes", "descending"), ("file", "ascending")])


@dataclass(frozen=True, eq=False)
class LabelledWindows:
    """What a probe reads of the frames around labelled ones."""

    read: np.ndarray
    """float32 (frames, window, tiles, width), the labelled frame in the middle of each window."""
    inside: np.ndarray
    """bool (frames, window): False beyond the ends of the clip, where the first or last frame is repeated."""

    def rows(self, rows: np.ndarray) -> "LabelledWindows":
        """Those of some frames."""
        return LabelledWindows(self.read[rows], self.inside[rows])


def gather_windows(labelled: LabelledFrames, stored: pa.Table, tiles: int) -> LabelledWindows:
    """The windows of all labelled frames in the order of the labels, from EMBEDDINGS that have them all."""
    keys = list(zip(stored["video_id"].to_pylist(), stored["frame_index"].to_pylist(), strict=True))
    number_of = {key: number for number, key in enumerate(keys)}
    window_of = {
        key: window for key, window in zip(keys, stored["window"].to_pylist(), strict=True) if window is not None
    }
    features = stored["features"].combine_chunks().flatten().to_numpy().reshape(stored.num_rows, tiles, -1)
    ids = {file: _id(labelled, file) for file in labelled.clips}
    frames = zip(labelled.files, labelled.table["frame_index"].to_pylist(), strict=True)
    found = [(ids[file], window_of[ids[file], index]) for file, index in frames]
    order = np.array([[number_of[video, index] for index in window] for video, window in found])
    indices = np.array([window for _, window in found])
    middle = indices.shape[1] // 2
    differs = np.diff(indices, axis=1) > 0
    before = np.cumprod(differs[:, :middle][:, ::-1], axis=1)[:, ::-1]
    after = np.cumprod(differs[:, middle:], axis=1)
    inside = np.concatenate([before, np.ones((len(indices), 1)), after], axis=1).astype(bool)
    return LabelledWindows(features[order], inside)


def _backbone_digest(checkpoint: Checkpoint) -> str:
    """Of the weights of the backbone alone: projection and head do not change what is read of it."""
    tensors = sorted((name, tensor) for name, tensor in deserialize(checkpoint.weights) if name.startswith("backbone."))
    found = sha256()
    for name, tensor in tensors:
        found.update(f"{name} {tensor['dtype']} {tensor['shape']}".encode())
        found.update(tensor["data"])
    return found.hexdigest()


def _id(labelled: LabelledFrames, file: str) -> str:
    clip = labelled.clips[file]
    return video_id(clip.uri, clip.etag)
