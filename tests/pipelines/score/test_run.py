"""One call of the scoring job without Ray: its record, and all of it where nothing is left to score."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from checkpoints import CHECKPOINT
from parts import attempt, failure, settle_run, write_part
from paths import ROOT
from rich.console import Console

from artifactscan.cli.exit_codes import failures_exit_code
from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.pipelines.score.request import make_job, make_request
from artifactscan.pipelines.score.run import _check_weights, _make_plan, _make_record, as_usage_errors, score
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.settle import RunTotals
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

SETTINGS = ScoreSettings(input="/clips", output="/scores")


@pytest.mark.parametrize(
    ("failed", "listed", "max_failed", "code"),
    [
        (0, 0, 0.0, 0),
        (0, 10, 0.0, 0),
        (1, 10**6, 0.0, 1),
        (5, 100, 0.05, 0),
        (1500, 10_000, 0.05, 1),
        (10, 10, 1.0, 0),
    ],
)
def test_more_failures_than_allowed_are_an_exit_code(
    failed: int, listed: int, max_failed: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failures_exit_code(failed, listed, max_failed) == code
    message = (
        f"failed: {failed:,} of {listed:,} videos have no frame scored, more than --max-failed {max_failed:g} allows\n"
    )
    assert capsys.readouterr() == ("", message if code else "")


def record_of(totals: RunTotals, *, trained: bool, notes: set[str]) -> Any:
    checkpoint = replace(CHECKPOINT, card=replace(CHECKPOINT.card, trained=trained))
    started = datetime(2026, 1, 2, tzinfo=UTC)
    return _make_record(
        make_job(SETTINGS, checkpoint, Console()), "run1", totals, notes, Stopwatch({"plan": 1.5}), started
    )


def test_the_record_of_a_run() -> None:
    totals = RunTotals(
        {"scored": 3, "crashed": 1}, listed=4, removed=2, without_frames=1, frames=30, events=5, precisions=["bf16"]
    )
    record = record_of(totals, trained=True, notes=set())
    request = make_request(SETTINGS, CHECKPOINT)
    assert (record.run, record.scope_digest, record.limits_digest) == ("run1", request.scope, request.limits)
    assert record.spec_digest == request.spec.digest
    assert record.spec["sample_fps"] == 2.0
    assert record.settings["input"] == "/clips"
    assert record.checkpoint["digest"] == CHECKPOINT.digest
    assert record.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record.versions["artifactscan"] == version("artifactscan")
    assert record.precision == ["bf16"]
    assert (record.started, record.seconds) == ("2026-01-02T00:00:00+00:00", {"plan": 1.5})
    assert abs(datetime.now(UTC) - datetime.fromisoformat(record.finished)).total_seconds() < 60
    assert record.counts == {"listed": 4, "removed": 2, "without_frames": 1, "frames": 30, "events": 5}
    assert record.outcomes == {"scored": 3, "crashed": 1}
    assert record.notes == []


def test_the_notes_of_a_record() -> None:
    assert record_of(RunTotals(damaged_parts=2), trained=False, notes={"b", "a"}).notes == [
        "a",
        "b",
        "the checkpoint is not trained: the scores mean nothing",
        "2 parts were cut off while being written; their videos were done again",
    ]


def test_a_price_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--price-per-hour goes with --plan"):
        score(replace(SETTINGS, input=str(tmp_path), output=str(tmp_path / "store"), price_per_hour=(0.4,)))
    assert not any(tmp_path.iterdir())


def test_a_store_in_the_folder_of_its_corpus_is_refused(tmp_path: Path) -> None:
    settings = replace(SETTINGS, input=str(tmp_path), output=f"{tmp_path}/")
    with pytest.raises(
        UsageError, match=f"--input and --output are both {tmp_path}; give the store a place of its own"
    ):
        score(settings)
    assert not list(tmp_path.iterdir())


def test_weights_that_an_earlier_run_scored_with_are_not_checked_again(tmp_path: Path) -> None:
    """They are none at all here, which the check would refuse."""
    settings = replace(SETTINGS, output=str(tmp_path), checkpoint=str(tmp_path / "checkpoint"))
    scored = replace(record_of(RunTotals(frames=3), trained=True, notes=set()), run="run1")

    def check(*earlier: RunRecord, **changed: Any) -> None:
        job = make_job(replace(settings, **changed), CHECKPOINT, Console())
        _check_weights(replace(job, earlier=earlier))

    check(scored)
    check(checkpoint="builtin")
    others = [
        replace(scored, counts=scored.counts | {"frames": 0}),
        replace(scored, checkpoint=scored.checkpoint | {"digest": "another"}),
        replace(scored, versions=scored.versions | {"timm": "0.1"}),
        replace(scored, versions=scored.versions | {"torch": "1.0"}),
    ]
    with pytest.raises(UsageError, match="'any' is not a timm model"):
        check(*others)
    check(*others, scored)


@pytest.fixture
def cut_off(tmp_path: Path) -> tuple[ScoreSettings, Store]:
    """A run that was killed after its last part was written: one video scored in two segments, one undecodable."""
    clips, store = tmp_path / "clips", Store(str(tmp_path / "store"))
    for name in ("good.mp4", "bad.mp4"):
        (clips / name).parent.mkdir(exist_ok=True)
        (clips / name).write_bytes(name.encode())
    save_checkpoint(CHECKPOINT, str(tmp_path / "checkpoint"))
    settings = ScoreSettings(input=str(clips), output=store.root, checkpoint=str(tmp_path / "checkpoint"))
    manifest = Path(store.manifest("run1"))
    manifest.parent.mkdir(parents=True)
    _make_plan(make_job(settings, CHECKPOINT, Console()), manifest)
    bad, good = read_table(str(manifest), ["uri", "etag", "video_id"]).to_pylist()
    write_part(store, "run1", "one", attempt(good["uri"], [2, 1], etag=good["etag"]))
    write_part(store, "run1", "two", [{**failure(bad["uri"]), "video_id": bad["video_id"]}])
    return settings, store


def test_the_same_command_finishes_a_run_that_was_cut_off(
    cut_off: tuple[ScoreSettings, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, store = cut_off
    assert score(settings) == 1, "half of the videos have no frame"
    said = capsys.readouterr().out
    assert "continuing run run1, which was cut off\n0 of the 2 videos that it had to do are left\n" in said
    assert said.endswith("these scores come from an untrained checkpoint and mean nothing\n")
    [record] = store.committed()
    assert (record.run, record.outcomes) == ("run1", {"scored": 1, "undecodable": 1})
    assert (record.counts["frames"], record.counts["without_frames"]) == (3, 1)
    assert record.seconds.keys() == {"settle"}, "Ray was not started"


def test_a_finished_command_given_again_does_nothing(
    cut_off: tuple[ScoreSettings, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, store = cut_off
    lenient = replace(settings, max_failed=0.5)
    for _ in range(2):
        assert score(lenient) == 0
    assert "nothing to do: all 2 videos are settled by earlier runs in" in capsys.readouterr().out
    assert score(settings) == 1, "what earlier runs could not score still counts"
    assert store.run_ids() == ["run1"]


def test_a_plan_changes_nothing_and_names_the_run_to_continue(
    cut_off: tuple[ScoreSettings, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, store = cut_off
    before = sorted(Path(store.root).rglob("*"))
    assert score(replace(settings, plan=True)) == 0
    assert "run run1 of the same command was cut off and would be continued\n" in capsys.readouterr().out
    assert sorted(Path(store.root).rglob("*")) == before


def test_changes_since_the_cut_off_are_done_in_the_same_call(
    cut_off: tuple[ScoreSettings, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, store = cut_off
    Path(settings.input, "bad.mp4").unlink()
    assert score(replace(settings, max_failed=0.5)) == 0
    second, first = store.committed()
    assert (first.run, first.outcomes) == ("run1", {"scored": 1, "undecodable": 1})
    assert (second.outcomes, second.counts["removed"]) == ({"unchanged": 1}, 1)


def test_tables_of_a_run_that_was_cut_off_are_removed(cut_off: tuple[ScoreSettings, Store]) -> None:
    settings, store = cut_off
    settle_run(store, "run1")
    Path(settings.input, "good.mp4").unlink()
    only_bad = replace(settings, limit=1, max_failed=1.0)
    with pytest.raises(UsageError, match="not a timm model"):  # the new run ends before it begins
        score(only_bad)
    assert parquet_files(store.frames("run1")) == parquet_files(store.videos("run1")) == []


def test_a_store_with_a_lease_is_refused(cut_off: tuple[ScoreSettings, Store]) -> None:
    settings, store = cut_off
    with Lease(store.lease), pytest.raises(UsageError, match="is working on this store"):
        score(settings)
    assert store.committed() == []


def test_a_path_that_is_no_folder_is_a_usage_error(cut_off: tuple[ScoreSettings, Store], tmp_path: Path) -> None:
    settings, _ = cut_off
    (tmp_path / "file").write_text("")
    for plan in (True, False):
        with pytest.raises(UsageError, match=r"file.*(Not a directory|not a folder)"):
            score(replace(settings, output=str(tmp_path / "file"), plan=plan))


def test_a_broken_pipe_is_not_a_usage_error() -> None:
    with pytest.raises(BrokenPipeError), as_usage_errors():
        raise BrokenPipeError


def test_another_request_does_not_continue_the_run(cut_off: tuple[ScoreSettings, Store]) -> None:
    settings, store = cut_off
    for change in ({"sample_fps": 4.0}, {"limit": 1}, {"max_pixels": 1}):
        request = make_request(replace(settings, **change), CHECKPOINT)
        assert store.find_unfinished(request.digest, store.read_runs().uncommitted) is None
    same = make_request(settings, CHECKPOINT)
    assert store.find_unfinished(same.digest, store.read_runs().uncommitted) == "run1"


def test_a_driver_loads_neither_ray_nor_torch_before_there_is_work() -> None:
    heavy = "{'ray', 'torch', 'timm', 'av'}"
    script = f"import sys, artifactscan.pipelines.score.run; print(sorted({heavy} & sys.modules.keys()))"
    path = str(ROOT / "src")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": path})
    assert (done.stdout, done.stderr) == ("[]\n", "")
