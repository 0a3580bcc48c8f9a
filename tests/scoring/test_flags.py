"""Flags and events by other thresholds are those that settling with these thresholds would have written."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from parts import SCORED_BY, attempt, failure, manifest_row, record, write_manifest, write_part

from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES
from artifactscan.scoring import flags
from artifactscan.scoring.complete_attempts import read_complete_attempts
from artifactscan.scoring.flags import count_flags, flag_anew
from artifactscan.scoring.settle import settle
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord, read_run_record

RUN = "run1"
LOWER = dict.fromkeys(LABELS, 0.25)
VIDEOS = {"/a": [4, 3], "/b": [6], "/c": [2]}


def settled(root: Path, thresholds: Mapping[str, float]) -> tuple[Store, RunRecord]:
    """A committed run with scores of three videos, and one that failed."""
    store = Store(str(root))
    write_manifest(store, RUN, [manifest_row(uri) for uri in (*VIDEOS, "/broken")])
    write_part(store, RUN, "one", [*attempt("/a", VIDEOS["/a"]), failure("/broken")])
    write_part(store, RUN, "two", [*attempt("/b", VIDEOS["/b"]), *attempt("/c", VIDEOS["/c"])])
    by = replace(SCORED_BY, thresholds=thresholds)
    totals = settle(store, RUN, read_complete_attempts(store, RUN), by)
    counts = {"frames": totals.frames, "events": totals.events}
    written = replace(
        record(RUN), spec={"sample_fps": by.sample_fps}, checkpoint={"thresholds": thresholds}, counts=counts
    )
    store.commit(written)
    return store, written


def tables(store: Store) -> dict[str, list[dict]]:
    found = {}
    for name, order in (("frames", "frame_index"), ("videos", "uri"), ("events", "start_s")):
        files = parquet_files(getattr(store, name)(RUN))
        rows = pa.concat_tables([read_table(file) for file in files])
        found[name] = rows.sort_by([("uri", "ascending"), (order, "ascending")]).to_pylist()
    return found


def test_flags_are_those_of_settling_with_these_thresholds(tmp_path: Path) -> None:
    store, before = settled(tmp_path / "store", SCORED_BY.thresholds)
    wanted, record_wanted = settled(tmp_path / "wanted", LOWER)
    assert tables(store)["events"] != tables(wanted)["events"]
    anew = flag_anew(store, before, LOWER)
    assert tables(store) == tables(wanted)
    assert anew.counts == record_wanted.counts
    assert (before.flags_by, anew.flags_by) == (SCORED_BY.thresholds, LOWER)
    assert anew.checkpoint["thresholds"] == SCORED_BY.thresholds, "what the checkpoint had when it scored"
    assert read_run_record(store.run_json(RUN)) == anew


def test_a_call_that_is_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, before = settled(tmp_path / "store", SCORED_BY.thresholds)
    wanted, _ = settled(tmp_path / "wanted", LOWER)
    written: list[str] = []

    def fail_on_the_second(table: pa.Table, uri: str) -> None:
        written.append(uri)
        if len(written) == 2:
            raise OSError("no space left")
        flags_write(table, uri)

    flags_write = flags.write_table
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(flags, "write_table", fail_on_the_second)
        flag_anew(store, before, LOWER)
    left = read_run_record(store.run_json(RUN))
    assert left is not None and left.flags_by is None
    flag_anew(store, left, LOWER)
    assert tables(store) == tables(wanted)


def test_frames_at_the_threshold_count() -> None:
    scores = {"boundary": 0.5, "texture": 0.25, "motion": 0.75, "object": 0.0}
    row = {"video_id": "v", "uri": "/v", "pts_s": 0.0} | {f"p_{label}": value for label, value in scores.items()}
    frames = pa.Table.from_pylist([{**row, "frame_index": number} for number in range(3)], FRAMES)
    assert count_flags(frames, dict.fromkeys(LABELS, 0.5)).to_pylist() == [
        {"video_id": "v"} | {f"frames_over_{label}": 3 * (scores[label] >= 0.5) for label in LABELS}
    ]
