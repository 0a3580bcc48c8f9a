"""Reading a store back by spec and video."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from parts import attempt, failure, manifest_row, record, score, settle_run, write_manifest, write_part

from artifactscan.corpus.listed_object import video_id
from artifactscan.schemas import FRAMES
from artifactscan.storage.parquet import read_batches
from artifactscan.store import stored_rows
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import iterate_frames, stored_frames, stored_verdicts


def add_run(store: Store, run: str, rows: list[dict], parts: list[dict], *, commit: bool = True, spec: str = "spec"):
    write_manifest(store, run, rows)
    write_part(store, run, "one", parts)
    settle_run(store, run)
    if commit:
        store.commit(record(run, spec=spec))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Run 1 scored /a and could not read /b, run 2 scored /b; run 3 is another spec's, run 4 was cut off."""
    store = Store(str(tmp_path))
    add_run(
        store,
        "run1",
        [manifest_row("/a"), manifest_row("/b")],
        [*attempt("/a", [2, 1]), failure("/b", "unreadable")],
    )
    settled = manifest_row("/a", status="settled", settled_run="run1", settled_outcome="scored")
    add_run(store, "run2", [settled, manifest_row("/b", status="again")], attempt("/b", [2]))
    add_run(store, "run3", [manifest_row("/c")], attempt("/c", [1]), spec="other")
    add_run(store, "run4", [manifest_row("/d")], attempt("/d", [1]), commit=False)
    return store


IDS = {uri: video_id(uri, "1") for uri in ("/a", "/b", "/c", "/d")}


def test_frames_of_every_committed_run_of_the_spec(store: Store) -> None:
    frames = stored_frames(store, store.runs_of("spec"), pa.array(IDS.values()))
    assert frames.schema.equals(FRAMES)
    found = sorted(zip(frames["uri"].to_pylist(), frames["frame_index"].to_pylist(), strict=True))
    assert found == [("/a", 0), ("/a", 1), ("/a", 2), ("/b", 0), ("/b", 1)]
    [motion] = [row["p_motion"] for row in frames.to_pylist() if (row["uri"], row["frame_index"]) == ("/b", 1)]
    assert motion == pytest.approx(score("/b", 1, 2))
    assert set(stored_frames(store, store.runs_of("spec"), pa.array([IDS["/b"]]))["uri"].to_pylist()) == {"/b"}
    assert stored_frames(store, store.runs_of("spec"), pa.array([IDS["/c"]])).num_rows == 0


def test_the_latest_verdict_counts(store: Store) -> None:
    verdicts = stored_verdicts(store, "spec", pa.array(IDS.values()))
    assert {video: row["outcome"] for video, row in verdicts.items()} == {IDS["/a"]: "scored", IDS["/b"]: "scored"}
    assert verdicts[IDS["/a"]]["frames_decoded"] == 3


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 5, 100])
def test_iterated_tables_have_every_frame_and_never_split_a_video(
    tmp_path: Path, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    frames = {"/a": 3, "/b": 1, "/c": 6, "/d": 2}
    parts = [row for uri, count in frames.items() for row in attempt(uri, [count])]
    add_run(store, "run1", [manifest_row(uri) for uri in frames], parts)

    def small_batches(file: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        for batch in read_batches(file, columns):
            yield from (batch.slice(start, batch_rows) for start in range(0, batch.num_rows, batch_rows))

    monkeypatch.setattr(stored_rows, "read_batches", small_batches)
    tables = list(iterate_frames(store, "run1", pa.array([IDS["/a"], video_id("/c", "1"), IDS["/d"]])))
    assert pa.concat_tables(tables).equals(stored_frames(store, ["run1"], pa.array([IDS["/a"], IDS["/c"], IDS["/d"]])))
    of_table = [set(table["uri"].to_pylist()) for table in tables]
    assert sum(map(len, of_table)) == 3
    assert len(tables) == (2 if batch_rows == 100 else 3)
    assert list(iterate_frames(store, "run1", pa.array([], pa.string()))) == []
