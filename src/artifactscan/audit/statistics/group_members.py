"""Group memberships of scored videos as index arrays, so that all groups are counted in linear time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night_tables import ALL
from artifactscan.schemas import outcomes_with_frames


def group_names(arrivals: pa.Table) -> tuple[str, ...]:
    """ALL, then the groups of any of ``arrivals`` (ARRIVALS), sorted."""
    return ALL, *sorted(pc.unique(_groups(arrivals).flatten()).to_pylist())


@dataclass(frozen=True, kw_only=True, eq=False)
class Members:
    """The scored videos of some arrivals, once in ALL and once in each of their groups."""

    scored: pa.Table
    """The ARRIVALS rows with at least one scored frame."""
    group: np.ndarray
    """int64 (memberships,): index into the given group names."""
    row: np.ndarray
    """int64 (memberships,): row index into ``scored``."""

    def column(self, name: str) -> np.ndarray:
        """(memberships,): a column of ARRIVALS, by membership; it has no nulls for scored videos."""
        return self.scored[name].to_numpy()[self.row]


def scored_arrivals(arrivals: pa.Table) -> pa.Table:
    """The ARRIVALS rows with at least one scored frame."""
    return arrivals.filter(pc.and_(outcomes_with_frames(arrivals["outcome"]), pc.greater(arrivals["frames"], 0)))


def members(arrivals: pa.Table, groups: tuple[str, ...]) -> Members:
    """Which of ``arrivals`` (ARRIVALS) belong to which of ``groups``, the first of which is ALL."""
    scored = scored_arrivals(arrivals)
    lists = _groups(scored)
    named = pc.index_in(lists.flatten(), value_set=pa.array(groups, pa.string()))
    known = pc.is_valid(named)
    group = named.filter(known).to_numpy().astype(np.int64)
    row = pc.list_parent_indices(lists).filter(known).to_numpy()
    return Members(
        scored=scored,
        group=np.concatenate([np.zeros(scored.num_rows, np.int64), group]),
        row=np.concatenate([np.arange(scored.num_rows), row]),
    )


def _groups(arrivals: pa.Table) -> pa.ListArray:
    """The column as one array."""
    chunks = arrivals["groups"].chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], arrivals.schema.field("groups").type)
