"""Long videos in slices: together they are the whole, and where they cannot be, the video is done whole."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from decoded import H264, SETTINGS, decode
from hypothesis import given
from hypothesis import strategies as st
from isolated import SETTINGS as CHILD_SETTINGS
from isolated import assert_failed, assert_scored, verdict_of
from media import damage, write_clip
from parts import THRESHOLDS, attempt, failure, manifest_row, slice_of, write_manifest, write_part

from artifactscan.decode.sandbox.supervisor import DecoderProcess
from artifactscan.decode.video import WHOLE, NotSliced, Slice
from artifactscan.errors import LedgerError
from artifactscan.outcomes import Outcome
from artifactscan.schemas import LISTING, PARTS
from artifactscan.scoring.settle import settle
from artifactscan.scoring.slicing import MOST_SLICES, cut
from artifactscan.scoring.work import remaining_work
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store.layout import Store

RUN = "run1"


# Cutting


def work(*sizes: int | None) -> pa.Table:
    rows = [manifest_row(f"/{n}", size_bytes=size) for n, size in enumerate(sizes)]
    return pa.Table.from_pylist(rows, schema=pa.schema([*LISTING]))


def test_only_what_is_longer_than_a_slice_is_cut_and_the_largest_pieces_come_first() -> None:
    table = cut(work(100, 250, 101, None), 100)
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


def test_nothing_is_cut_with_0_nor_what_is_to_be_done_whole() -> None:
    assert cut(work(10**12), 0)["slices"].to_pylist() == [1]
    table = work(10**12, 10**12)
    whole = cut(table, 1000, whole=frozenset(table["video_id"].to_pylist()[:1]))
    assert sorted(whole["slices"].to_pylist()) == [1, *[MOST_SLICES] * MOST_SLICES]
    assert cut(work(10**12, 10**9), 10**8, max_bytes=10**10)["slices"].to_pylist() == [1, *[10] * 10]


# Decoding


@pytest.fixture(scope="module")
def long_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten groups of a second each."""
    return write_clip(tmp_path_factory.mktemp("long") / "clip.mp4", seconds=10, options=H264)


@pytest.mark.parametrize("of", [2, 3, 7, 64])
def test_the_slices_of_a_video_are_the_whole(long_one: Path, of: int) -> None:
    whole, facts = decode(long_one)
    frames, sampled, decoded = [], 0, 0
    for number in range(of):
        part, part_facts = decode(long_one, replace(SETTINGS, slice=Slice(number, of)))
        frames += part
        sampled += part_facts.frames_sampled or 0
        decoded += part_facts.frames_decoded or 0
        assert (part_facts.frames_in_video, part_facts.duration_s) == (facts.frames_in_video, facts.duration_s)
        if of <= 7:
            assert len(part) in range(20 // of - 2, 20 // of + 3), "about as many frames in each"
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in whole]
    assert all(np.array_equal(one[2], other[2]) for one, other in zip(frames, whole, strict=True))
    assert (sampled, decoded) == (facts.frames_sampled, facts.frames_decoded)


def test_the_slices_of_a_damaged_video_lose_what_the_whole_loses(tmp_path: Path) -> None:
    path = damage(write_clip(tmp_path / "clip.mp4", seconds=10, options=H264), at=0.5, size=3_000)
    whole, facts = decode(path)
    parts = [decode(path, replace(SETTINGS, slice=Slice(number, 4))) for number in range(4)]
    assert [frame[0] for part, _ in parts for frame in part] == [frame[0] for frame in whole]
    assert sum(part.frames_sampled or 0 for _, part in parts) == facts.frames_sampled == 20
    assert facts.frames_decoded is not None and facts.frames_decoded < 20


def test_a_video_of_one_group_is_all_in_the_first_slice(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options={**H264, "g": "1000"})
    assert [len(decode(path, replace(SETTINGS, slice=Slice(number, 3)))[0]) for number in range(3)] == [8, 0, 0]


def test_a_codec_that_is_decoded_whole_is_not_sliced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=2)
    for number in range(2):
        with pytest.raises(NotSliced):
            decode(path, replace(SETTINGS, slice=Slice(number, 2)))


@pytest.fixture(scope="module")
def child() -> Iterator[DecoderProcess]:
    with DecoderProcess(CHILD_SETTINGS) as process:
        yield process


def test_slices_from_the_decoding_process(child: DecoderProcess, long_one: Path) -> None:
    indices = []
    for number in range(3):
        segments = list(child.decode(str(long_one), Slice(number, 3)))
        assert verdict_of(segments).outcome is Outcome.SCORED
        assert {segment.slice for segment in segments} == {Slice(number, 3)}
        indices += [index for segment in segments for index in segment.frame_index]
    assert indices == list(range(0, 240, 12))


def test_what_cannot_be_cut_is_whole_in_the_first_slice_and_nothing_in_the_others(
    child: DecoderProcess, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=4)
    first = list(child.decode(str(path), Slice(0, 2)))
    assert_scored(first, "pyav")
    assert {segment.slice for segment in first} == {WHOLE}
    assert list(child.decode(str(path), Slice(1, 2))) == []


def test_decord_alone_does_not_cut(long_one: Path) -> None:
    with DecoderProcess(replace(CHILD_SETTINGS, decoder="decord")) as process:
        assert verdict_of(list(process.decode(str(long_one), Slice(0, 2)))).facts.frames_decoded == 20
        assert list(process.decode(str(long_one), Slice(1, 2))) == []


def test_a_slice_that_fails_says_so(child: DecoderProcess, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    for number in range(2):
        segments = list(child.decode(str(broken), Slice(number, 2)))
        assert_failed(segments, Outcome.UNDECODABLE)
        assert segments[0].slice == Slice(number, 2)


# Putting together


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_manifest(store, RUN, [manifest_row("/long", size_bytes=1000), manifest_row("/short", size_bytes=10)])
    return store


def settled(store: Store) -> tuple[dict[str, dict], list[tuple[str, int]]]:
    settle(store, RUN, thresholds=THRESHOLDS, sample_fps=2.0)
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


def test_a_video_without_one_of_its_slices_is_not_done_and_only_that_one_is_left(store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", attempt("/short", [1]))
    with pytest.raises(LedgerError, match="1 of 2 listed objects have no outcome"):
        settled(store)
    left = remaining_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slice", "slices"]).to_pylist() == [{"uri": "/long", "slice": 1, "slices": 2}]
    otherwise = remaining_work(store, RUN, slice_bytes=250)
    assert otherwise["slice"].to_pylist() == [0, 1, 2, 3], "cut otherwise, what is there does not count"


@pytest.mark.parametrize("outcome", ["crashed", "undecodable"])
def test_where_a_slice_could_not_be_decoded_the_video_is_done_whole_and_that_counts(outcome: str, store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", [*slice_of([failure("/long", outcome)], 1, 2), *attempt("/short", [1])])
    left = remaining_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slice", "slices"]).to_pylist() == [{"uri": "/long", "slice": 0, "slices": 1}]
    write_part(store, RUN, "c", attempt("/long", [4], name="whole"))
    assert remaining_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["frames_decoded"]) == ("scored", 4)
    assert len(frames) == 5


@pytest.mark.parametrize("outcome", ["unreadable", "changed", "too_large", "timed_out"])
def test_a_slice_that_could_not_be_had_or_took_too_long_speaks_for_the_whole(outcome: str, store: Store) -> None:
    write_part(store, RUN, "a", slice_of(attempt("/long", [3]), 0, 2))
    write_part(store, RUN, "b", [*slice_of([failure("/long", outcome)], 1, 2), *attempt("/short", [1])])
    assert remaining_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert (ledger["/long"]["outcome"], ledger["/long"]["reason"]) == (outcome, "it is broken")
    assert [uri for uri, _ in frames] == ["/short"]


def test_a_failure_beside_all_the_slices_does_not_speak_for_the_whole(store: Store) -> None:
    """Ray does a slice again, of which the first try had failed and landed."""
    for number in range(2):
        write_part(store, RUN, f"{number}", slice_of(attempt("/long", [3]), number, 2, first_frame=3 * number))
    write_part(store, RUN, "b", [*slice_of([failure("/long", "timed_out")], 1, 2), *attempt("/short", [1])])
    assert remaining_work(store, RUN, slice_bytes=500).num_rows == 0
    ledger, frames = settled(store)
    assert ledger["/long"]["outcome"] == "scored"
    assert len(frames) == 7


def test_a_video_of_whose_slices_none_has_a_frame_is_done_whole(store: Store) -> None:
    empty = {"outcome": "partial", "frames_sampled": 4, "frames_decoded": 0}
    for number in range(2):
        write_part(store, RUN, f"{number}", slice_of([failure("/long", name=f"{number}")], number, 2, **empty))
    write_part(store, RUN, "c", attempt("/short", [1]))
    left = remaining_work(store, RUN, slice_bytes=500)
    assert left.select(["uri", "slices"]).to_pylist() == [{"uri": "/long", "slices": 1}]


def test_a_video_that_could_not_be_cut_is_done_by_its_first_slice(store: Store) -> None:
    write_part(store, RUN, "a", [*attempt("/long", [4]), *attempt("/short", [1])])
    assert remaining_work(store, RUN, slice_bytes=100).num_rows == 0


def test_parts_of_a_version_that_knew_no_slices(store: Store) -> None:

    rows = [*attempt("/long", [2, 1]), *attempt("/short", [1])]
    new = ("slice", "slices", "device", "classify_s")
    write_table(pa.Table.from_pylist(rows, schema=PARTS).drop_columns(list(new)), f"{store.parts(RUN)}/old.parquet")
    ledger, frames = settled(store)
    assert {row["outcome"] for row in ledger.values()} == {"scored"}
    assert len(frames) == 4
