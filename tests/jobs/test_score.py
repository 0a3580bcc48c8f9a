"""The whole job on a real local Ray: outcomes, exactly once, continuing, S3 on both sides."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from hostile import NAMES, write_hostile_corpus
from media import write_clip
from paths import ROOT
from s3_server import S3Server

from artifactscan.jobs.score import main
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.schemas import STORED_EVENTS, STORED_FRAMES, STORED_VIDEOS

KEY = ["uri", "frame_index"]
DENSE = ("--sample-fps", 4)
"""Frames enough that a kill finds the job in the middle of them."""
FEW = ("--decode-actors", 1)
"""A process less to start where there is little to do."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small one, so that the tests wait for the job rather than for the model."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(folder))
    return str(folder)


def run_job(*arguments: object) -> int:
    return main([*map(str, arguments), "--quiet"])


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "jobs" / "score.py"), *map(str, arguments)]


def table(store: Path | str, name: str, run: str | None = None) -> pd.DataFrame:
    folder = Path(store, name) if run is None else Path(store, name, f"run={run}")
    return pd.read_parquet(folder)


def only_run(store: Path) -> str:
    """The id of the one committed run."""
    [record] = (store / "runs").glob("*/run.json")
    return record.parent.name


def newest_run(store: Path) -> str:
    return max(record.parent.name for record in (store / "runs").glob("*/run.json"))


def record_of(store: Path, run: str) -> dict:
    return json.loads((store / "runs" / run / "run.json").read_text())


def by_name(ledger: pd.DataFrame) -> pd.Series:
    return ledger.set_index(ledger["uri"].str.rsplit("/", n=1).str[-1])["outcome"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, checkpoint: str, ray_here: None) -> tuple[Path, Path, dict]:
    """Corpus, store and expected outcomes of one run over everything."""
    corpus, store = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("store")
    expected = write_hostile_corpus(corpus)
    assert run_job("--input", corpus, "--output", store, "--checkpoint", checkpoint, "--max-failed", 0.5) == 0
    return corpus, store, expected


def test_each_file_gets_its_outcome(hostile: tuple[Path, Path, dict]) -> None:
    _, store, expected = hostile
    ledger = table(store, "videos")
    assert dict(by_name(ledger)) == {name: str(outcome) for name, outcome in expected.items()}
    assert ledger["video_id"].is_unique
    failed = ledger[~ledger["outcome"].isin(["scored"])]
    assert failed["reason"].str.len().min() > 10
    assert ledger.loc[ledger["outcome"] == "scored", "reason"].isna().all()


def test_every_frame_is_there_once(hostile: tuple[Path, Path, dict]) -> None:
    _, store, _ = hostile
    ledger, frames = table(store, "videos").set_index("video_id"), table(store, "frames")
    assert not frames.duplicated(["video_id", "frame_index"]).any()
    assert (
        frames.groupby("video_id").size().to_dict()
        == ledger["frames_decoded"].dropna().loc[lambda counts: counts > 0].astype(int).to_dict()
    )
    assert frames[list(SCORE_COLUMNS)].to_numpy().min() > 0
    assert frames[list(SCORE_COLUMNS)].to_numpy().max() < 1
    one_second = frames[frames["uri"].str.rsplit("/", n=1).str[-1].isin(NAMES)]
    assert sorted(one_second["frame_index"]) == [0] * len(NAMES) + [12] * len(NAMES)
    good = ledger[ledger["uri"].str.endswith("/good.mp4")].iloc[0]
    scores = frames[frames["uri"].str.endswith("/good.mp4")]
    assert good["max_texture"] == scores["p_texture"].max()
    assert good["frames_over_motion"] == (scores["p_motion"] >= 0.5).sum()


def test_the_tables_have_their_declared_schemas(hostile: tuple[Path, Path, dict]) -> None:
    _, store, _ = hostile
    run = only_run(store)
    for name, schema in (("frames", STORED_FRAMES), ("videos", STORED_VIDEOS), ("events", STORED_EVENTS)):
        for file in (store / name / f"run={run}").glob("*.parquet"):
            assert pq.read_schema(file).remove_metadata().equals(schema)
            assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_run_json_says_what_ran(hostile: tuple[Path, Path, dict]) -> None:
    corpus, store, expected = hostile
    record = record_of(store, only_run(store))
    assert record["counts"]["listed"] == sum(record["outcomes"].values()) == len(expected)
    assert record["counts"]["frames"] == len(table(store, "frames"))
    assert record["settings"]["input"] == str(corpus)
    assert record["precision"] == ["fp32"] or record["precision"] == ["bf16"]
    assert record["checkpoint"]["trained"] is False
    assert any("mean nothing" in note for note in record["notes"])
    assert record["versions"]["ray"].startswith("2.")


def test_the_same_command_again_does_nothing_and_says_so(
    hostile: tuple[Path, Path, dict], checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, store, expected = hostile
    before = sorted(store.rglob("*"))
    assert run_job("--input", corpus, "--output", store, "--checkpoint", checkpoint, "--max-failed", 0.5) == 0
    assert f"nothing to do: all {len(expected)} videos are settled" in capsys.readouterr().out
    assert sorted(store.rglob("*")) == before
    assert run_job("--input", corpus, "--output", store, "--checkpoint", checkpoint, "--max-failed", 0.1) == 1
    assert "have no frame scored, more than --max-failed 0.1 allows" in capsys.readouterr().err


def test_changed_new_and_removed_objects(
    tmp_path: Path, checkpoint: str, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    corpus.mkdir()
    for name in ("kept", "changed", "removed"):
        write_clip(corpus / f"{name}.mp4", seconds=1)
    arguments = ("--input", corpus, "--output", store, "--checkpoint", checkpoint, *FEW)
    assert run_job(*arguments) == 0
    first = only_run(store)
    write_clip(corpus / "changed.mp4", seconds=2)
    write_clip(corpus / "new.mp4", seconds=1)
    (corpus / "removed.mp4").unlink()
    capsys.readouterr()

    assert run_job(*arguments, "--plan") == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.count("│") == 3]
    plan = {row[1].strip(): row[2].strip() for row in rows}
    assert (plan["new"], plan["changed"], plan["already settled"], plan["removed since the last run"]) == ("1",) * 4
    assert [record.parent.name for record in (store / "runs").glob("*/run.json")] == [first]

    assert run_job(*arguments) == 0
    second = newest_run(store)
    ledger = table(store, "videos", second)
    assert dict(by_name(ledger)) == {"changed.mp4": "scored", "new.mp4": "scored", "kept.mp4": "unchanged"}
    kept = ledger[ledger["outcome"] == "unchanged"].iloc[0]
    assert (kept["settled_run"], kept["settled_outcome"]) == (first, "scored")
    assert record_of(store, second)["counts"]["removed"] == 1
    assert by_name(table(store, "frames", second).assign(outcome=1)).index.unique().tolist() == [
        "changed.mp4",
        "new.mp4",
    ]

    assert run_job(*arguments, "--sample-fps", 4) == 0
    third = record_of(store, newest_run(store))
    assert third["outcomes"] == {"scored": 3}
    assert third["spec_digest"] != record_of(store, second)["spec_digest"]


def test_s3_on_both_sides_through_faults(_s3_server: S3Server, tmp_path: Path, checkpoint: str, ray_here: None) -> None:
    server = _s3_server
    server.new_bucket()
    clip = write_clip(tmp_path / "clip.mp4", seconds=1).read_bytes()
    names = ["slow down.mp4", "cut#off.mp4", "denied.mp4", "gone.mp4", "replaced.mp4", "good?.mp4", "%2F.mp4"]
    for name in names:
        server.put(f"in/{name}", clip)
    for file in Path(checkpoint).iterdir():
        server.put(f"checkpoint/{file.name}", file.read_bytes())
    server.faults.status("in/slow down.mp4", 503, times=3, methods=("GET",))
    server.faults.cut("in/cut#off.mp4", after_bytes=len(clip) // 2)
    server.faults.status("in/denied.mp4", 403, methods=("GET",))
    server.faults.status("in/gone.mp4", 404, methods=("GET",))
    server.faults.status("in/replaced.mp4", 412, code="PreconditionFailed", methods=("GET",))
    places = ("--input", server.uri("in"), "--output", server.uri("out"), "--checkpoint", server.uri("checkpoint"))
    arguments = (*places, *FEW)
    assert run_job(*arguments, "--max-failed", 0.5) == 0

    def ledger() -> pd.DataFrame:
        keys = [key for key in keys_of(server) if key.startswith("out/videos/")]
        newest = max(key.split("/")[2] for key in keys)
        return pd.concat(
            pd.read_parquet(download(server, key, tmp_path)) for key in keys if key.split("/")[2] == newest
        )

    first = ledger()
    outcomes = by_name(first)
    assert outcomes.to_dict() == dict.fromkeys(names, "scored") | {
        "denied.mp4": "unreadable",
        "gone.mp4": "unreadable",
        "replaced.mp4": "changed",
    }
    reasons = first.set_index(outcomes.index)["reason"]
    assert "access denied" in reasons["denied.mp4"]
    assert reasons["gone.mp4"] == "gone since it was listed"

    server.faults.clear()
    assert run_job(*arguments) == 0
    assert by_name(ledger()).to_dict() == dict.fromkeys(names, "unchanged") | {
        "denied.mp4": "scored",
        "gone.mp4": "scored",
        "replaced.mp4": "scored",
    }


def test_credentials_that_expire_in_the_middle(
    _s3_server: S3Server, tmp_path: Path, checkpoint: str, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server = _s3_server
    server.new_bucket()
    clip = write_clip(tmp_path / "clip.mp4", seconds=1).read_bytes()
    for number in range(8):
        server.put(f"in/{number}.mp4", clip)
    arguments = ("--input", server.uri("in"), "--output", server.uri("out"), "--checkpoint", checkpoint, *FEW)
    server.faults.status("in/5.mp4", 400, code="ExpiredToken", methods=("GET",))
    assert run_job(*arguments) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the run was cut off: ")
    assert said.endswith("AWS_SECRET_ACCESS_KEY; the same command continues it")
    assert f"{server.uri('in/5.mp4')}: the AWS credentials are not accepted (ExpiredToken)" in said
    server.faults.clear()
    assert run_job(*arguments) == 0
    assert "continuing run" in capsys.readouterr().out
    [key] = [key for key in keys_of(server) if key.startswith("out/videos/") and "videos-" in key]
    ledger = pd.read_parquet(download(server, key, tmp_path))
    assert by_name(ledger).to_dict() == {f"{number}.mp4": "scored" for number in range(8)}


def keys_of(server: S3Server) -> list[str]:
    return server.keys()


def download(server: S3Server, key: str, folder: Path) -> Path:
    path = folder / hashlib.sha256(key.encode()).hexdigest()
    path.write_bytes(server.client.get_object(Bucket=server.bucket, Key=key)["Body"].read())
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of a few clips."""
    folder = tmp_path_factory.mktemp("many")
    kinds = [write_clip(folder / f"kind{n}.mp4", seconds=4 + n, width=320, height=192) for n in range(3)]
    for number in range(30):
        shutil.copy(kinds[number % 3], folder / f"clip{number:03d}.mp4")
    return folder


@pytest.fixture(scope="module")
def undisturbed(many: Path, checkpoint: str, tmp_path_factory: pytest.TempPathFactory, ray_here: None) -> pd.DataFrame:
    store = tmp_path_factory.mktemp("undisturbed")
    assert run_job("--input", many, "--output", store, "--checkpoint", checkpoint, *DENSE) == 0
    return without_run(table(store, "frames"))


def without_run(frames: pd.DataFrame) -> pd.DataFrame:
    return frames.drop(columns="run", errors="ignore").sort_values(KEY, ignore_index=True)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen, timeout_s: float = 180) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + timeout_s
    while not (met := condition()):
        assert process.poll() is None, "the job ended before it could be disturbed"
        assert time.monotonic() < end
        time.sleep(0.05)
    return met


def at_work(process: subprocess.Popen, name: str) -> list[psutil.Process]:
    """The job's Ray actors whose title says that they have a batch of ``name`` in hand."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if f"MapWorker(MapBatches({name})).submit" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("executor", "victims"),
    [
        pytest.param("local", (), id="without Ray"),
        pytest.param("ray", (), id="driver", marks=pytest.mark.long),
        pytest.param("ray", ("Decode", "Classify"), id="workers", marks=pytest.mark.slow),
    ],
)
def test_a_kill_costs_nothing(
    executor: str, victims: tuple[str, ...], many: Path, checkpoint: str, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    arguments = ("--input", many, "--output", store, "--checkpoint", checkpoint, *DENSE, "--segment-frames", 4)
    arguments = (*arguments, "--executor", executor)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(command(*arguments), env=environment, stdout=subprocess.PIPE, text=True) as process:
        for name in victims:
            wait_for(lambda name=name: at_work(process, name), process)[0].kill()
        if not victims:
            wait_for(lambda: any(store.glob("runs/*/parts/*.parquet")), process)
            process.kill()
        output = process.communicate()[0]
    if not victims:
        assert process.returncode == -signal.SIGKILL
        assert not list(store.glob("runs/*/run.json"))
    if process.returncode != 0:
        again = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=True)
        assert "continuing run" in again.stdout, output
    pd.testing.assert_frame_equal(without_run(table(store, "frames")), undisturbed, atol=1e-4)
    assert by_name(table(store, "videos")).value_counts().to_dict() == {"scored": 33}


@pytest.mark.slow
def test_sigterm_is_an_interruption(many: Path, checkpoint: str, tmp_path: Path) -> None:
    arguments = ("--input", many, "--output", tmp_path / "store", "--checkpoint", checkpoint, *DENSE)
    arguments = (*arguments, "--executor", "ray")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        command(*arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: at_work(process, "Decode"), process)
        process.terminate()
        said = process.communicate()[1]
    assert process.returncode == 3
    assert said.splitlines()[-1] == "error: interrupted; the same command goes on with what is not done yet"
    assert "Traceback" not in said and "***" not in said
    assert not (tmp_path / "store" / "lease.json").exists()


@pytest.mark.long
@pytest.mark.realdata
def test_real_clips(tmp_path: Path, checkpoint: str, ray_here: None) -> None:
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the real clips are not beside the project")
    for name, videos in (("sora15/clips", 15), ("mixed", 38)):
        store = tmp_path / name.partition("/")[0]
        assert run_job("--input", data / name, "--output", store, "--checkpoint", checkpoint) == 0
        ledger = table(store, "videos")
        assert ledger["outcome"].value_counts().to_dict() == {"scored": videos}
        assert (ledger["frames_decoded"] == ledger["frames_sampled"]).all()
        assert len(table(store, "frames")) == ledger["frames_decoded"].sum()
        assert ledger["frames_sampled"].between(ledger["duration_s"] * 2 - 1, ledger["duration_s"] * 2 + 1).all()
