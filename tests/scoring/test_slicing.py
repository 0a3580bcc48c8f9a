"""Long videos in slices: cut before decoding, joined when settling, and decoded whole where a slice fails."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import attempt, failure, manifest_row, open_work, settle_run, slice_of, write_manifest, write_part

from artifactscan.errors import LedgerError
from artifactscan.schemas import LISTING, PARTS
from artifactscan.scoring.slicing import MOST_SLICES, cut_into_slices
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store.layout import Store

RUN = "run1"


# Cutting


def work(*sizes: int | None) -> pa.Table:
    rows = [manifest_row(f"/{n}", size_bytes=size) for n, size in enumerate(sizes)]
    return pa.Table.from_pylist(rows, schema=pa.schema([*LISTING]))


def test_objects_over_slice_bytes_are_cut_and_the_largest_slices_come_first() -> None:
    table = cut_into_slices(work(100, 250, 101, None), 100)
    rows = [tuple(row[name] for name in ("uri", "slice", "slices", "slice_bytes")) for row in table.to_pylist()]
    assert rows == [
        ("/0", 0, 1, 100),
        ("/1", 0, 3, 83),
        ("/1", 1, 3, 83),
        ("/1", 2, 3, 83),
        ("/2", 0, 2, 50),
        ("/2", 1, 2, 50),
        ("/3", 0, 1, 0),
    ]


def test_videos_that_are_not_cut() -> None:
    assert cut_into_slices(work(10**12), 0)["slices"].to_pylist() == [1]
    table = work(10**12, 10**12)
    whole = cut_into_slices(table, 1000, whole=frozenset(table["video_id"].to_pylist()[:1]))
    assert sorted(whole["slices"].to_pylist()) == [1, *[MOST_SLICES] * MOST_SLICES]
    assert cut_into_slices(work(10**12, 10**9), 10**8, max_bytes=10**10)["slices"].to_pylist() == [1, *[10] * 10]


# Joining


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_manifest(store, RUN, [manifest_row("/long", size_bytes=1000), manifest_row("/short", size_bytes=10)])
    return store


def settled(store: Store) -> tuple[dict[str, dict], list[tuple[str, int]]]:
    settle_run(store, RUN)
    ledger = [row for file in parquet_files(store.videos(RUN)) for row in read_table(file).to_pylist()]
    frames = [row for file in parquet_files(store.frames(RUN)) for row in read_table(file).to_pylist()]
    assert len({row["uri"] for row in ledger}) == len(ledger)
    return {row["uri"]: row for row in ledger}, [(row["uri"], row["frame_index"]) for row in frames]


@given(order=st.permutations([0, 1, 2]), twice=st.booleans())
def test_slices_in_any_order_become_one_video(order: list[int], twice: bool, tmp_path_factory) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    write_manifest(store, RUN, [manifest_row("/long", size_bytes=1000)])
    for repeat in range(1 + twice):
        for number in order:
            rows = slice_of(attempt("/long", [2, 1], name=f"{number}{repeat}"), number, 3, first_frame=3 * number)
            rows[-1] |= {"decode_s": 2.0, "packets_damaged": 0, "duration_s": 4.5, "codec": "h264"}
            write_part(store, RUN, f"{repeat}-{number}", rows)
    ledger, frames = settled(store)
    assert frames == [("/long", n) for n in range(9)]
    row = ledger["/long"]
    assert (row["outcome"], row["reason"], row["codec"], row["duration_s"]) == ("scored", None, "h264", 4.5)
    assert (row["frames_sampled"], row["frames_decoded"], row["decode_s"]) == (9, 9, 6.0)


def test_a_slice_that_lost_frames_makes_the_video_partial(store: Store) -> None:
    lost = {"outcome": "partial", "reason": "x", "frames_sampled": 5, "packets_damaged": 1}
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", [*slice_of(attempt("/long", [2], name="b"), 1, 2, first_frame=3, **lost)])
    write_part(store, RUN, "c", attempt("/short", [1]))
    ledger, frames = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["frames_decoded"]) == ("partial", 5)
    assert ledger["/long"]["reason"] == "3 of 8 sampled frames lost: 1 damaged packet"
    assert len(frames) == 6


def test_only_the_missing_slice_of_a_video_is_left_to_do(store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", attempt("/short", [1]))
    with pytest.raises(LedgerError, match="1 of 2 listed objects have no outcome"):
        settled(store)
    left = open_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slice", "slices"]).to_pylist() == [{"uri": "/long", "slice": 1, "slices": 2}]
    otherwise = open_work(store, RUN, slice_bytes=250)
    assert otherwise["slice"].to_pylist() == [0, 1, 2, 3], "cut otherwise, what is there does not count"


@pytest.mark.parametrize("outcome", ["crashed", "undecodable"])
def test_a_video_with_a_slice_that_cannot_be_decoded_is_decoded_whole(outcome: str, store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", [*slice_of([failure("/long", outcome)], 1, 2), *attempt("/short", [1])])
    left = open_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slice", "slices"]).to_pylist() == [{"uri": "/long", "slice": 0, "slices": 1}]
    write_part(store, RUN, "c", attempt("/long", [4], name="whole"))
    assert open_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["frames_decoded"]) == ("scored", 4)
    assert len(frames) == 5


@pytest.mark.parametrize("outcome", ["unreadable", "changed", "too_large", "timed_out"])
def test_outcomes_of_a_slice_that_count_for_the_whole_video(outcome: str, store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", [*slice_of([failure("/long", outcome)], 1, 2), *attempt("/short", [1])])
    assert open_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["reason"]) == (outcome, "it is broken")
    assert [uri for uri, _ in frames] == ["/short"]


def test_a_failed_attempt_at_a_slice_is_ignored_if_another_succeeded(store: Store) -> None:
    """Ray repeats a slice whose first attempt failed and was written."""
    for number in range(2):
        write_part(store, RUN, f"{number}", slice_of(attempt("/long", [3]), number, 2, first_frame=3 * number))
    write_part(store, RUN, "b", [*slice_of([failure("/long", "timed_out")], 1, 2), *attempt("/short", [1])])
    assert open_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert ledger["/long"]["outcome"] == "scored"
    assert len(frames) == 7


def test_a_video_without_a_frame_in_any_slice_is_decoded_whole(store: Store) -> None:
    empty = {"outcome": "partial", "frames_sampled": 4, "frames_decoded": 0}
    for number in range(2):
        write_part(store, RUN, f"{number}", slice_of([failure("/long", name=f"{number}")], number, 2, **empty))
    write_part(store, RUN, "c", attempt("/short", [1]))
    left = open_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slices"]).to_pylist() == [{"uri": "/long", "slices": 1}]


def test_a_video_that_cannot_be_sliced_is_done_with_its_first_slice(store: Store) -> None:
    write_part(store, RUN, "a", [*attempt("/long", [4]), *attempt("/short", [1])])
    assert open_work(store, RUN, slice_bytes=100).num_rows == 0


def test_parts_of_a_version_without_slices_are_read(store: Store) -> None:
    rows = [*attempt("/long", [2, 1]), *attempt("/short", [1])]
    new = ("slice", "slices", "device", "classify_s")
    write_table(pa.Table.from_pylist(rows, schema=PARTS).drop_columns(list(new)), f"{store.parts(RUN)}/old.parquet")
    ledger, frames = settled(store)
    assert {row["outcome"] for row in ledger.values()} == {"scored"}
    assert len(frames) == 4


def test_the_reason_says_that_another_decoder_took_over_a_slice(store: Store) -> None:
    note = "decoded by pyav after nvdec failed (crashed: torchcodec: CUDA error)"
    parts = [
        slice_of(attempt("/long", [2]), 0, 3),
        slice_of(attempt("/long", [2], name="1"), 1, 3, first_frame=2),
        slice_of(attempt("/long", [2], name="2"), 2, 3, first_frame=4),
    ]
    parts[1][-1]["reason"] = parts[2][-1]["reason"] = note
    for number, part in enumerate([*parts, attempt("/short", [1])]):
        write_part(store, RUN, f"{number}", part)
    ledger, _ = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["reason"]) == ("scored", note)
    parts[2][-1].update(outcome="partial", frames_sampled=3, reason=f"1 of 3 sampled frames lost; {note}")
    write_part(store, RUN, "2", parts[2])
    ledger, _ = settled(store)
    assert ledger["/long"]["reason"] == f"1 of 7 sampled frames lost; {note}"
