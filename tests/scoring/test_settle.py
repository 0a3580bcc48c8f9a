"""Settling: whatever the order and repetition of segments in the parts, the tables hold everything exactly once."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged import damage_pages
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import (
    attempt,
    failure,
    manifest_row,
    open_work,
    record,
    score,
    settle_run,
    slice_of,
    write_manifest,
    write_part,
)

from artifactscan.errors import LedgerError, UsageError
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.schemas import STORED_EVENTS, STORED_FRAMES, STORED_VIDEOS
from artifactscan.scoring import settle
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store

RUN = "run1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def tables(store: Store, folder: str) -> list[dict]:
    files = parquet_files(folder)
    return pa.concat_tables([read_table(file) for file in files]).to_pylist()


def frames_of(store: Store) -> list[tuple[str, int]]:
    return [(row["uri"], row["frame_index"]) for row in tables(store, store.frames(RUN))]


def test_each_listed_object_gets_one_row_and_each_frame_one(store: Store) -> None:
    write_manifest(
        store,
        RUN,
        [
            manifest_row("/a"),
            manifest_row("/b", status="changed"),
            manifest_row("/c", status="again"),
            manifest_row("/d", status="settled", settled_run="run0", settled_outcome="partial"),
            manifest_row("/e", status="settled", settled_run="run0", settled_outcome="crashed"),
            manifest_row("/f", status="removed"),
        ],
    )
    write_part(store, RUN, "one", [*attempt("/a", [2, 1]), failure("/c")])
    write_part(store, RUN, "two", attempt("/b", [3]))
    totals = settle_run(store, RUN)
    ledger = {row["uri"]: row for row in tables(store, store.videos(RUN))}
    assert {uri: row["outcome"] for uri, row in ledger.items()} == {
        "/a": "scored",
        "/b": "scored",
        "/c": "undecodable",
        "/d": "unchanged",
        "/e": "unchanged",
    }
    assert ledger["/c"]["reason"] == "it is broken"
    assert (ledger["/d"]["settled_run"], ledger["/d"]["settled_outcome"]) == ("run0", "partial")
    assert frames_of(store) == [("/a", 0), ("/a", 1), ("/a", 2), ("/b", 0), ("/b", 1), ("/b", 2)]
    assert totals.outcomes == {"scored": 2, "undecodable": 1, "unchanged": 2}
    assert (totals.listed, totals.removed, totals.frames) == (5, 1, 6)
    assert totals.without_frames == 2, "one failed now, one failed in the run that settled it"


def test_scores_and_their_summary_per_video(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", attempt("/a", [2, 2]))
    settle_run(store, RUN)
    frames, [video] = tables(store, store.frames(RUN)), tables(store, store.videos(RUN))
    for label, column in enumerate(SCORE_COLUMNS):
        expected = [score("/a", frame, label) for frame in range(4)]
        assert [row[column] for row in frames] == pytest.approx(expected)
        name = column.removeprefix("p_")
        assert video[f"max_{name}"] == pytest.approx(max(expected))
        assert video[f"mean_{name}"] == pytest.approx(sum(expected) / 4)
        assert video[f"frames_over_{name}"] == sum(p >= 0.5 for p in expected)


def test_one_complete_attempt_per_video_is_kept(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a"), manifest_row("/b")])
    incomplete = attempt("/a", [2, 2, 2], name="z")
    write_part(store, RUN, "one", [incomplete[0], incomplete[2]])
    write_part(store, RUN, "two", attempt("/a", [3, 3], name="b") + attempt("/b", [1], name="c"))
    write_part(store, RUN, "three", attempt("/a", [3, 3], name="b") + attempt("/b", [1], name="d"))
    assert settle_run(store, RUN).frames == 7
    assert frames_of(store) == [("/a", n) for n in range(6)] + [("/b", 0)]


@pytest.mark.parametrize("name", ["0", "z"])
def test_an_attempt_with_frames_is_preferred(store: Store, name: str) -> None:
    """Ray repeats a block whose first attempt failed and was written."""
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", [failure("/a", "unreadable", name=name)])
    write_part(store, RUN, "two", attempt("/a", [3], name="b"))
    assert settle_run(store, RUN).outcomes == {"scored": 1}
    assert len(frames_of(store)) == 3


def test_an_attempt_with_fewer_frames_than_its_verdict_says_is_not_complete(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    rows = attempt("/a", [2, 2])
    write_part(store, RUN, "one", [{**rows[0], "frames": rows[0]["frames"][:1]}, rows[1]])
    with pytest.raises(LedgerError, match="1 of 1 listed objects have no outcome"):
        settle_run(store, RUN)


@pytest.mark.parametrize("slices", [1, 4])
def test_the_rows_of_a_film_are_copied_a_few_times_however_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    """Four hours at 24 samples a second are 5,400 segments."""
    segments = 2_000
    rows: list[dict] = []
    for number in range(slices):
        each = segments // slices
        of = attempt("/film", [1] * each, name=f"a{number}")
        rows += slice_of(of, number, slices, first_frame=number * each) if slices > 1 else of
    write_manifest(store, RUN, [manifest_row("/film")])
    for part in range(20):
        write_part(store, RUN, f"part{part:02d}", rows[part::20])
    copied = 0
    concat_tables = pa.concat_tables

    def counting(tables, *args, **options):
        nonlocal copied
        tables = list(tables)
        copied += sum(table.num_rows for table in tables)
        return concat_tables(tables, *args, **options)

    monkeypatch.setattr(pa, "concat_tables", counting)
    totals = settle_run(store, RUN)
    assert (totals.frames, totals.outcomes) == (segments, {"scored": 1})
    assert copied < 6 * segments


def test_a_missing_video_keeps_the_ledger_open(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a"), manifest_row("/b")])
    write_part(store, RUN, "one", attempt("/a", [1]))
    with pytest.raises(LedgerError, match=r"1 of 2 listed objects have no outcome \(such as /b\)"):
        settle_run(store, RUN)
    assert parquet_files(store.videos(RUN)) == []


def test_a_truncated_part_is_ignored_and_its_videos_are_done_again(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a"), manifest_row("/b")])
    write_part(store, RUN, "one", attempt("/a", [2]))
    cut = Path(write_part(store, RUN, "two", attempt("/b", [2], name="lost")))
    cut.write_bytes(cut.read_bytes()[:-20])
    assert open_work(store, RUN)["uri"].to_pylist() == ["/b"]
    write_part(store, RUN, "three", attempt("/b", [2], name="again"))
    assert open_work(store, RUN).num_rows == 0
    totals = settle_run(store, RUN)
    assert (totals.frames, totals.damaged_parts) == (4, 1)


def test_a_part_whose_scores_alone_are_damaged_is_named_and_can_be_removed(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a"), manifest_row("/b")])
    write_part(store, RUN, "one", attempt("/a", [2]))
    damaged = write_part(store, RUN, "two", attempt("/b", [2]))
    columns = pq.read_metadata(damaged)
    score = next(n for n in range(columns.num_columns) if columns.schema.column(n).name == SCORE_COLUMNS[0])
    damage_pages(damaged, score)
    assert open_work(store, RUN).num_rows == 0
    with pytest.raises(
        UsageError, match=rf"^part {damaged} is damaged \(.+\); restore it from a copy, or remove it to"
    ):
        settle_run(store, RUN)
    Path(damaged).unlink()
    assert open_work(store, RUN)["uri"].to_pylist() == ["/b"]


def test_memory_that_runs_out_is_no_damage_of_a_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", attempt("/a", [2]))

    def run_out(*_: object) -> None:
        raise pa.ArrowMemoryError("realloc of size 2147483648 failed")

    monkeypatch.setattr(settle, "open_plain", run_out)
    with pytest.raises(MemoryError, match="realloc"):
        settle_run(store, RUN)


def test_settling_twice_gives_the_same_tables(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", attempt("/a", [2]))
    settle_run(store, RUN)
    before = tables(store, store.frames(RUN)), tables(store, store.videos(RUN)), tables(store, store.events(RUN))
    settle_run(store, RUN)
    assert before == (
        tables(store, store.frames(RUN)),
        tables(store, store.videos(RUN)),
        tables(store, store.events(RUN)),
    )


def test_a_committed_run_is_not_settled_again(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", attempt("/a", [2]))
    settle_run(store, RUN)
    store.commit(record(RUN))
    with pytest.raises(LedgerError, match="run run1 is settled already, by another process"):
        settle_run(store, RUN)
    assert frames_of(store) == [("/a", 0), ("/a", 1)]


def test_tables_without_rows_still_have_their_columns(store: Store) -> None:
    write_manifest(store, RUN, [manifest_row("/a")])
    write_part(store, RUN, "one", [failure("/a", "timed_out")])
    totals = settle_run(store, RUN)
    assert (totals.frames, totals.events, totals.without_frames) == (0, 0, 1)
    schemas = {"frames": STORED_FRAMES, "events": STORED_EVENTS, "videos": STORED_VIDEOS}
    for name, schema in schemas.items():
        [file] = parquet_files(getattr(store, name)(RUN))
        assert pq.read_schema(file).equals(schema)


def test_the_largest_object_is_done_first(store: Store) -> None:
    rows = [manifest_row(f"/{size}", size_bytes=size) for size in (5, 50, None, 7)]
    write_manifest(
        store, RUN, [*rows, manifest_row("/old", status="settled", settled_run="r", settled_outcome="scored")]
    )
    assert open_work(store, RUN)["uri"].to_pylist() == ["/50", "/7", "/5", "/None"]


@given(data=st.data())
@settings(max_examples=25)
def test_any_order_and_any_repeats_settle_to_the_same_frames(data: st.DataObject) -> None:
    videos = {f"/v{n}": data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)) for n in range(3)}
    whole = [row for uri, sizes in videos.items() for row in attempt(uri, sizes, name="whole")]
    torn = [row for uri, sizes in videos.items() for row in attempt(uri, sizes, name="torn")[:-1]]
    repeated = data.draw(st.lists(st.sampled_from(whole), max_size=6))
    rows = data.draw(st.permutations([*whole, *torn, *repeated]))
    cut = data.draw(st.integers(0, len(rows)))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_manifest(store, RUN, [manifest_row(uri) for uri in videos])
        for name, part in (("one", rows[:cut]), ("two", rows[cut:])):
            if part:
                write_part(store, RUN, name, part)
        assert open_work(store, RUN).num_rows == 0
        totals = settle_run(store, RUN)
        assert frames_of(store) == [(uri, frame) for uri, sizes in videos.items() for frame in range(sum(sizes))]
        assert totals.outcomes == {"scored": 3}
