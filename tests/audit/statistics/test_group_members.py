"""Who belongs to which group."""

from collections import Counter

import pyarrow as pa
from arrived import arrived, video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.audit.night_tables import ALL, ARRIVALS
from artifactscan.audit.statistics.group_members import group_names, members

NAMES = ("a=1", "a=2", "b=1")
rows = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), unique=True),
        st.sampled_from(["scored", "partial", "undecodable", "timed_out"]),
        st.integers(0, 2),
    ),
    max_size=12,
)


@given(rows)
def test_every_scored_video_is_in_all_and_in_each_of_its_groups(
    rows: list[tuple[list[str], str, int]],
) -> None:
    table = arrived(*[video(groups=groups, outcome=outcome, frames=frames) for groups, outcome, frames in rows])
    table = pa.concat_tables([table.slice(0, 5), table.slice(5)])  # more than one chunk
    names = group_names(table)
    assert names == (ALL, *sorted({group for groups, _, _ in rows for group in groups}))
    of = members(table, names)
    found = Counter(
        (names[group], of.scored["path"][int(row)].as_py()) for group, row in zip(of.group, of.row, strict=True)
    )
    assert found == Counter(
        (group, f"{number}.mp4")
        for number, (groups, outcome, frames) in enumerate(rows)
        if outcome in ("scored", "partial") and frames
        for group in (ALL, *groups)
    )


def test_groups_that_are_not_asked_for_are_left_out() -> None:
    of = members(arrived(video(groups=["a=1", "b=1"]), video(groups=["b=2"], frames=7)), (ALL, "b=2"))
    assert of.group.tolist() == [0, 0, 1]
    assert of.row.tolist() == [0, 1, 1]
    assert of.column("frames").tolist() == [10, 7, 7]


def test_no_arrivals() -> None:
    assert group_names(ARRIVALS.empty_table()) == (ALL,)
    assert members(ARRIVALS.empty_table(), (ALL,)).group.tolist() == []
