"""What the usual sampling rate misses: some of the night's videos, scored again at double the rate."""

import math
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night_tables import SAMPLING
from artifactscan.labels import LABELS

DOUBLE = 2
"""Factor of the usual rate."""


def choose_videos(arrivals: pa.Table, share: float, night: str) -> pa.Table:
    """A random share of the scored videos, rounded up; the same choice for the same night id."""
    scored = arrivals.filter(pc.greater(arrivals["frames"], 0))
    count = math.ceil(share * scored.num_rows)
    draws = [blake2b(f"{night}\0{video}".encode(), digest_size=8).digest() for video in scored["video_id"].to_pylist()]
    rows = sorted(range(scored.num_rows), key=draws.__getitem__)[:count]
    return scored.take(pa.array(sorted(rows), pa.int64()))


def count_missed_events(usual: pa.Table, double: pa.Table, videos: pa.Array) -> pa.Table:
    """SAMPLING: how many events of these videos at the ``double`` rate overlap with no ``usual`` one (both EVENTS).

    No rows without videos.
    """
    rows = []
    for label in LABELS if len(videos) else ():
        known, events = _events_of(usual, label, videos), _events_of(double, label, videos)
        ids = np.array(known["video_id"].to_pylist(), object)
        starts, ends = known["start_s"].to_numpy(), known["end_s"].to_numpy()
        missed = sum(
            not np.any((ids == event["video_id"]) & (starts < event["end_s"]) & (ends > event["start_s"]))
            for event in events.to_pylist()
        )
        rows.append({"label": label, "videos": len(videos), "events": events.num_rows, "missed": missed})
    return pa.Table.from_pylist(rows, SAMPLING)


def _events_of(events: pa.Table, label: str, videos: pa.Array) -> pa.Table:
    return events.filter(pc.and_(pc.equal(events["label"], label), pc.is_in(events["video_id"], videos)))
