"""What the usual rate misses."""

import pyarrow as pa
from arrived import arrived, video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.audit.night_tables import SAMPLING
from artifactscan.audit.sampling_check import choose_videos, count_missed_events
from artifactscan.schemas import EVENTS


def arrivals(scored: int, failed: int = 0) -> pa.Table:
    return arrived(*[video() for _ in range(scored)], *[video(outcome="crashed", frames=0) for _ in range(failed)])


def events(*rows: tuple[str, str, float, float]) -> pa.Table:
    names = ("video_id", "label", "start_s", "end_s")
    filled = [{"uri": row[0], "peak": 0.9, "peak_frame": 0, **dict(zip(names, row, strict=True))} for row in rows]
    return pa.Table.from_pylist(filled, EVENTS)


def test_events_found_only_at_double_the_rate_are_missed() -> None:
    usual = events(("a", "motion", 1.0, 2.0), ("b", "texture", 0.0, 1.0), ("c", "motion", 0.0, 9.0))
    double = events(
        ("a", "motion", 0.75, 1.25),  # overlaps
        ("a", "motion", 2.0, 2.25),  # only touches
        ("a", "texture", 0.0, 1.0),  # another video has that
        ("b", "texture", 0.5, 0.75),
        ("d", "motion", 0.0, 1.0),  # not asked for
    )
    table = count_missed_events(usual, double, pa.array(["a", "b"]))
    assert table.schema.equals(SAMPLING)
    rows = {row["label"]: (row["videos"], row["events"], row["missed"]) for row in table.to_pylist()}
    assert rows == {"boundary": (2, 0, 0), "texture": (2, 2, 1), "motion": (2, 2, 1), "object": (2, 0, 0)}


def test_without_videos_there_are_no_rows() -> None:
    assert count_missed_events(events(), events(), pa.array([], pa.string())).num_rows == 0


@given(st.integers(0, 300), st.integers(0, 20), st.floats(0, 1), st.integers(0, 9))
def test_a_share_rounded_up_of_those_with_a_score(scored: int, failed: int, share: float, night: int) -> None:
    table = arrivals(scored, failed)
    chosen = choose_videos(table, share, str(night))
    assert share * scored <= chosen.num_rows <= share * scored + 1
    assert all(frames > 0 for frames in chosen["frames"].to_pylist())
    assert len(set(chosen["video_id"].to_pylist())) == chosen.num_rows
    assert chosen.equals(choose_videos(table, share, str(night)))


def test_another_night_chooses_others() -> None:
    table = arrivals(1000)
    chosen = [set(choose_videos(table, 0.1, night)["video_id"].to_pylist()) for night in ("one", "two")]
    assert chosen[0] != chosen[1]
