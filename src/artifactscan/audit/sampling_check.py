"""What the usual sampling rate misses: some of the night's videos, scored again at double the rate."""

import math
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night_tables import SAMPLING
from artifactscan.labels import LABELS

DOUBLE = 2
"""Times the usual rate."""


def choose(arrivals: pa.Table, share: float, night: str) -> pa.Table:
    """A share of the videos that have a score, rounded up; by chance, but the same when a night is done again."""
    scored = arrivals.filter(pc.greater(arrivals["frames"], 0))
    count = math.ceil(share * scored.num_rows)
    draws = [blake2b(f"{night}\0{video}".encode(), digest_size=8).digest() for video in scored["video_id"].to_pylist()]
    rows = sorted(range(scored.num_rows), key=draws.__getitem__)[:count]
    return scored.take(pa.array(sorted(rows), pa.int64()))


def missed(usual: pa.Table, denser: pa.Table, videos: pa.Array) -> pa.Table:
    """SAMPLING: how many of the ``denser`` events of these videos overlap with no ``usual`` one (both EVENTS).

    No rows where no video was scored again.
    """
    rows = []
    for label in LABELS if len(videos) else ():
        seen = _of(usual, label, videos)
        events = _of(denser, label, videos)
        starts, ends = seen["start_s"].to_numpy(), seen["end_s"].to_numpy()
        ids = np.array(seen["video_id"].to_pylist(), object)
        hit = 0
        for video, start, end in zip(
            *(events[name].to_pylist() for name in ("video_id", "start_s", "end_s")), strict=True
        ):
            hit += bool(np.any((ids == video) & (starts < end) & (ends > start)))
        rows.append({"label": label, "videos": len(videos), "events": events.num_rows, "missed": events.num_rows - hit})
    return pa.Table.from_pylist(rows, SAMPLING)


def _of(events: pa.Table, label: str, videos: pa.Array) -> pa.Table:
    return events.filter(pc.and_(pc.equal(events["label"], label), pc.is_in(events["video_id"], videos)))
