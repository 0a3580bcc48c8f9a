"""Which clips and frames of a night are drawn for labelling, and with which probability."""

import math
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from artifactscan.audit.night_tables import LABEL_SAMPLE
from artifactscan.audit.statistics.group_members import scored_arrivals
from artifactscan.labels import SCORE_COLUMNS

FRAMES_PER_CLIP = 6
"""Most frames of a clip that are labelled."""


def sample_seed(night: str) -> int:
    """The seed of a night's draw."""
    return int.from_bytes(blake2b(night.encode(), digest_size=8).digest()[:7], "big")


def draw_clips(arrivals: pa.Table, share: float, night: str) -> pa.Table:
    """ARRIVALS of a random share of the scored clips, rounded up, with ``clip_probability`` and ``position``.

    Every clip has the same probability, and every group its share of the sample, give or take one clip: the clips are
    put in the order of their groups, at random within them, and taken at equal distances from a random start.
    """
    scored = scored_arrivals(arrivals).sort_by("video_id")
    count = math.ceil(share * scored.num_rows)
    if not count:
        return _with_columns(scored.slice(0, 0), 0.0, np.zeros(0, np.int32))
    rng = np.random.default_rng(sample_seed(night))
    groups = ["\0".join(names) for names in scored["groups"].to_pylist()]
    order = np.lexsort((rng.random(scored.num_rows), np.unique(groups, return_inverse=True)[1]))
    chosen = order[_spread(scored.num_rows, count, rng)]
    return _with_columns(
        scored.take(pa.array(chosen)), count / scored.num_rows, rng.permutation(count).astype(np.int32)
    )


def draw_frames(clips: pa.Table, frames: pa.Table, night: str) -> pa.Table:
    """LABEL_SAMPLE: of each clip at most FRAMES_PER_CLIP frames, at equal distances from a random start.

    ``clips`` as ``draw_clips`` returns them; ``frames``: their FRAMES rows.
    """
    seed = sample_seed(night)
    frames = frames.sort_by([("video_id", "ascending"), ("frame_index", "ascending")])
    ids, first_row, frame_count = np.unique(frames["video_id"].to_numpy(), return_index=True, return_counts=True)
    rows_of = dict(zip(ids, zip(first_row, frame_count, strict=True), strict=True))
    parts = []
    for clip in clips.select(["video_id", "path", "position", "clip_probability"]).to_pylist():
        first, there = map(int, rows_of[clip["video_id"]])
        count = min(there, FRAMES_PER_CLIP)
        chosen = first + _spread(there, count, np.random.default_rng([seed, clip["position"]]))
        rows = frames.take(pa.array(chosen))
        columns = {name: rows[name] for name in ("video_id", "uri", "frame_index", "pts_s", *SCORE_COLUMNS)}
        columns |= {name: [clip[name]] * count for name in ("path", "position", "clip_probability")}
        columns |= {
            "clip_frames": [there] * count,
            "frame_probability": [count / there] * count,
            "seed": [seed] * count,
        }
        parts.append(pa.table({name: columns[name] for name in LABEL_SAMPLE.names}, schema=LABEL_SAMPLE))
    sample = pa.concat_tables([LABEL_SAMPLE.empty_table(), *parts])
    return sample.sort_by([("position", "ascending"), ("frame_index", "ascending")])


def _spread(there: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of ``there`` positions at equal distances; each has the same probability."""
    return np.minimum(((rng.random() + np.arange(count)) * there / count).astype(np.int64), there - 1)


def _with_columns(clips: pa.Table, probability: float, position: np.ndarray) -> pa.Table:
    columns = {
        "clip_probability": pa.array(np.full(clips.num_rows, probability), pa.float64()),
        "position": pa.array(position, pa.int32()),
    }
    for name, values in columns.items():
        clips = clips.append_column(name, values)
    return clips
