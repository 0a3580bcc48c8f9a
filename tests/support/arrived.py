"""ARRIVALS rows of choice, without scoring anything."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.labels import LABELS


def video(
    *, groups: Sequence[str] = (), outcome: str = "scored", frames: int = 10, peak: float = 0.1, **over: int
) -> dict[str, Any]:
    """A row; ``over`` says by label how many frames are over its threshold, which make one event."""
    row: dict[str, Any] = {"groups": list(groups), "outcome": outcome, "frames": frames}
    for label in LABELS:
        frames_over = over.get(label, 0)
        row |= {
            f"events_{label}": int(frames_over > 0),
            f"event_s_{label}": frames_over / 2,
            f"frames_over_{label}": frames_over,
            f"peak_{label}": peak if frames else None,
        }
    return row


def arrived(*rows: dict[str, Any]) -> pa.Table:
    """The rows as ARRIVALS."""
    return pa.Table.from_pylist(
        [{"video_id": f"{i}", "uri": f"/c/{i}.mp4", "path": f"{i}.mp4", **row} for i, row in enumerate(rows)], ARRIVALS
    )


def many(videos: int, flagged: int, *, label: str = "motion", groups: Sequence[str] = (), frames: int = 10) -> pa.Table:
    """``videos`` of which ``flagged`` have an event of ``label``, two frames long."""
    return arrived(
        *[video(groups=groups, frames=frames, **{label: 2}) for _ in range(flagged)],
        *[video(groups=groups, frames=frames) for _ in range(videos - flagged)],
    )
