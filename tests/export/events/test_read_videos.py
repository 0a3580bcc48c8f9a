"""Which scores of a store are exported: those of the latest version of each video, by one spec."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from exported import add_run
from nights import a_night

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.given_store import GivenStore, find_scoring_store
from artifactscan.corpus.listed_object import video_id
from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.events.read_videos import StoredVideos, check_not_empty, check_whole, choose_runs, find_videos
from artifactscan.labels import LABELS
from artifactscan.scoring.flags import flag_anew
from artifactscan.store.layout import Store

A, B, C = "/clips/a.mp4", "/clips/day/b.mp4", "/clips/c.mp4"


def read(store: Store, spec: str | None = None) -> StoredVideos:
    return find_videos(choose_runs(find_scoring_store(store.root, flag="STORE"), spec))


def found(videos: StoredVideos) -> dict[str, list[str]]:
    return {video.file: [event.label for event in video.events] for video in videos.iterate()}


def test_every_video_with_its_events_and_facts(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {A: {"motion": [0.1, 0.9]}, B: {"object": [0.9], "texture": [0.6]}, C: "undecodable"})
    videos = read(store)
    assert found(videos) == {"a.mp4": ["motion"], "day/b.mp4": ["object", "texture"]}
    assert videos.without_frames == 1
    assert (videos.runs.scorer, videos.runs.spec_digest) == ("resnet50-01234567", "spec")
    [first, _] = videos.iterate()
    assert (first.video_id, first.uri, first.fps) == (video_id(A, "1"), A, 24.0)
    assert (first.facts["width"], first.facts["frames_in_video"], first.facts["size_bytes"]) == (640, 24, 1000)
    assert first.frame_index.tolist() == [0, 12] and first.pts_s.tolist() == [0.0, 0.5]
    assert first.scores[:, LABELS.index("motion")].tolist() == pytest.approx([0.1, 0.9])


def test_a_video_that_was_replaced_is_shown_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {A: {"motion": [0.9]}, B: {"motion": [0.9]}})
    add_run(store, "run2", {A: {"object": [0.9, 0.9]}}, etags={A: "2"})
    videos = read(store)
    assert [(video.uri, video.video_id) for video in videos.iterate()] == [(B, video_id(B, "1")), (A, video_id(A, "2"))]
    assert found(videos) == {"day/b.mp4": ["motion"], "a.mp4": ["object"]}


def test_a_version_that_came_back_is_shown_with_its_own_scores(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {A: {"motion": [0.9]}, B: {"motion": [0.9]}, C: {"texture": [0.9]}})
    second = {A: {"object": [0.9, 0.9]}, B: "undecodable", C: {"object": [0.9]}}
    add_run(store, "run2", second, etags=dict.fromkeys(second, "2"))
    assert found(read(store)) == {"a.mp4": ["object"], "c.mp4": ["object"]}
    add_run(store, "run3", {}, etags={C: "2"}, settled={A: "run1", B: "run1", C: "run2"})
    videos = read(store)
    assert found(videos) == {"a.mp4": ["motion"], "day/b.mp4": ["motion"], "c.mp4": ["object"]}
    assert {video.uri: video.video_id for video in videos.iterate()}[A] == video_id(A, "1")
    assert videos.without_frames == 0
    add_run(store, "run4", {A: {"boundary": [0.9]}}, etags={A: "3"}, settled={B: "run1"})
    assert found(read(store)) == {"a.mp4": ["boundary"], "day/b.mp4": ["motion"], "c.mp4": ["object"]}


def test_a_replacement_that_fails_leaves_the_video_out_and_one_that_is_not_read_does_not(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {A: {"motion": [0.9]}, B: {"motion": [0.9]}})
    add_run(store, "run2", {A: "undecodable", B: "unreadable", C: "changed"}, etags={A: "2", B: "2"})
    videos = read(store)
    assert found(videos) == {"day/b.mp4": ["motion"]}
    assert videos.without_frames == 2


def test_only_committed_runs_of_the_spec_count(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {A: {"motion": [0.9]}}, spec="aabb")
    add_run(store, "run2", {A: {"object": [0.9]}}, spec="aacc")
    add_run(store, "run3", {B: {"object": [0.9]}}, spec="aabb", commit=False)
    assert found(read(store)) == {"a.mp4": ["object"]}
    assert found(read(store, "aab")) == {"a.mp4": ["motion"]}
    with pytest.raises(UsageError, match=f"^--spec aa: several specs begin with it in {tmp_path}; give one of aacc, "):
        read(store, "aa")
    with pytest.raises(UsageError, match=f"^--spec x: no spec begins with it in {tmp_path}; give one of aacc, aabb$"):
        read(store, "x")
    with pytest.raises(UsageError, match=r"^--spec : no spec begins with it"):
        read(store, "")


def test_a_store_without_a_finished_run_or_a_scored_video(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    with pytest.raises(UsageError, match=f"^STORE {store.root} has neither nights nor runs; give the folder "):
        read(store)
    add_run(store, "run1", {A: {"motion": [0.9]}}, commit=False)
    with pytest.raises(UsageError, match=f"^{store.root} has no finished run yet; finish the scoring that "):
        read(store)
    add_run(store, "run2", {A: "undecodable"})
    with pytest.raises(UsageError, match=f"^{store.root} has no scored video of spec spec; the reasons are "):
        check_not_empty(read(store))


def test_events_that_are_being_computed_anew_are_not_exported(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    record = add_run(store, "run1", {A: {"motion": [0.9]}})
    store.commit(record.with_flags_by(None))
    with pytest.raises(UsageError, match=r"^the events of run run1 in .* are being computed by other thresholds; wait"):
        read(store)


def test_clips_of_two_corpora_with_the_same_path_are_told_apart(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    add_run(store, "run1", {"/one/a.mp4": {"motion": [0.9]}}, input="/one")
    add_run(store, "run2", {"/two/a.mp4": {"object": [0.9]}, "/two/b.mp4": {"object": [0.1]}}, input="/two")
    assert found(read(store)) == {"/one/a.mp4": ["motion"], "/two/a.mp4": ["object"], "b.mp4": []}


def test_an_audit_s_events_are_by_its_own_thresholds(tmp_path: Path) -> None:
    audit = AuditStore(str(tmp_path))
    add_run(audit.scores, "run1", {A: {"motion": [0.5, 0.1, 0.9]}}, spec="spec")
    thresholds = dict.fromkeys(LABELS, 0.8)
    audit.commit(replace(a_night(), spec_digest="spec", thresholds=thresholds, events={"min_frames": 1}))
    given = find_scoring_store(str(tmp_path), flag="STORE")
    assert given.scores.root == audit.scores.root and len(given.nights) == 1
    [video] = find_videos(choose_runs(given, None)).iterate()
    assert [(event.label, event.start_s, event.end_s) for event in video.events] == [("motion", 1.0, 1.5)]
    [video] = find_videos(choose_runs(GivenStore(audit.scores, ()), None)).iterate()
    assert [(event.start_s, event.end_s) for event in video.events] == [(0.0, 1.5)]


def test_a_run_that_is_flagged_anew_meanwhile_is_told_apart_from_one_that_lost_rows(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    record = add_run(store, "run1", {A: {"motion": [0.9, 0.1, 0.9]}})
    runs = choose_runs(find_scoring_store(store.root, flag="STORE"), None)
    check_whole(runs)
    flag_anew(store, record, dict.fromkeys(LABELS, 0.95))
    with pytest.raises(
        CutOffError,
        match=r"^another job changes the store meanwhile \(run run1 was flagged anew\); give the same command again$",
    ):
        check_whole(runs)


def test_an_audit_needs_no_events_of_its_scores(tmp_path: Path) -> None:
    audit = AuditStore(str(tmp_path))
    add_run(audit.scores, "run1", {A: {"motion": [0.5, 0.1, 0.9]}}, spec="spec")
    audit.commit(replace(a_night(), spec_digest="spec", thresholds=dict.fromkeys(LABELS, 0.8)))
    shutil.rmtree(audit.scores.events("run1"))
    check_whole(choose_runs(find_scoring_store(str(tmp_path), flag="STORE"), None))
    shutil.rmtree(audit.scores.frames("run1"))
    with pytest.raises(UsageError, match=r"/frames/run=run1 has 0 rows, and run.json says 3; restore it from a copy"):
        check_whole(choose_runs(find_scoring_store(str(tmp_path), flag="STORE"), None))


def test_frames_are_read_in_pieces_that_never_split_a_video(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    scores = {f"/clips/{number:03d}.mp4": {"motion": [0.9] * 7} for number in range(30)}
    add_run(store, "run1", scores)
    checks: list[int] = []
    videos = list(read(store).iterate(lambda: checks.append(1)))
    assert [len(video.frame_index) for video in videos] == [7] * 30
    assert len(checks) == 2  # the last video, which could go on, is a piece of its own
