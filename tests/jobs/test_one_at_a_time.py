"""Every job that writes a folder refuses while another one works on it, and leaves it as it is."""

import os
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest
from extraction import write_extraction
from labelled_clips import write_labelled

from artifactscan import storage
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeLimits
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import load_checkpoint, save_checkpoint
from artifactscan.pipelines.ingest.build_frame_table import build_frame_table
from artifactscan.pipelines.ray_cluster.pool_sizes import size_pools
from artifactscan.pipelines.ray_cluster.resources import Node, Resources
from artifactscan.storage import lease
from artifactscan.storage.lease import Lease, LeaseHolder
from artifactscan.storage.process_identity import ProcessIdentity
from artifactscan.training.frame_table import INDEX, find_frame_table
from artifactscan.training.labelled_frames import LabelledFrames, load_labelled_frames

CLIP = "clips/clip0.mp4"
BACKBONE = "test_resnet.r160_in1k"
JOBS = {
    "score": ("--input", "{clips}", "--output", "{out}"),
    "extract": ("--input", "{clips}", "--output", "{out}", "--count", "3"),
    "explain": (
        "--video",
        f"{{labelled}}/{CLIP}",
        "--frames",
        "0",
        "--checkpoint",
        "{checkpoint}",
        "--output",
        "{out}",
    ),
    "evaluate": ("--labels", "{labelled}/labels.csv", "--checkpoint", "{checkpoint}", "--output", "{out}"),
    "finetune": ("--labels", "{labelled}/labels.csv", "--output", "{out}", "--backbone", BACKBONE, "--init", "none"),
    "judge": ("--index", "{index}", "--output", "{out}", "--endpoint", "http://127.0.0.1:9", "--model", "m"),
    "synthesise": ("--output", "{out}", "--count", "1"),
    "checkpoint": ("init", "--backbone", BACKBONE, "--output", "{out}"),
}
"""Job → arguments; test_audit.py has the audit."""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_labelled(tmp_path_factory.mktemp("labelled"), clips=6).parent
    save_checkpoint(initialise(BACKBONE, height=64, width=64), str(folder / "checkpoint"))
    return folder


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, labelled: Path, tmp_path: Path) -> Callable[[], int]:
    index = write_extraction(tmp_path / "extraction", {"a.mp4": 2})
    places = {"clips": labelled / "clips", "checkpoint": labelled / "checkpoint", "labelled": labelled, "index": index}
    arguments = [part.format(**places, out=tmp_path / "out") for part in JOBS[request.param]]
    main = import_module(f"artifactscan.jobs.{request.param}").main
    return lambda: main(arguments)


def test_the_second_of_two_jobs_is_refused_and_changes_nothing(
    job: Callable[[], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "frames").mkdir(parents=True)
    (out / "frames" / "of-the-first.jpg").write_bytes(b"first")
    (out / "extraction.json").write_bytes(b"{}")
    with Lease(str(out / "lease.json")):
        assert job() == 2
        assert sorted(path.name for path in out.rglob("*")) == [
            "extraction.json",
            "frames",
            "lease.json",
            "of-the-first.jpg",
        ]
    said = capsys.readouterr().err
    assert f"error: process {os.getpid()} on " in said
    assert " is working on this " in said
    assert "Traceback" not in said


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """Leaves a lease of another container, during whose watch something is done and which is then given up."""
    monkeypatch.setattr(lease, "POLL_S", 0.1)
    timers: list[threading.Timer] = []

    def leave(uri: str, do: Callable[[], object]) -> None:
        holder = LeaseHolder(token="a", host="elsewhere", process=ProcessIdentity(pid=1), since="before")
        storage.write_bytes(uri, holder.encode())
        timers.append(threading.Timer(0.5, lambda: (do(), storage.remove_tree(uri))))
        timers[-1].start()

    yield leave
    for timer in timers:
        timer.join()


def test_judgements_that_another_job_begins_meanwhile_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index = write_extraction(tmp_path / "extraction", {"a.mp4": 2})
    record, out = tmp_path / "out" / "judge.json", tmp_path / "out"
    out.mkdir()

    class LaterLease(Lease):
        def __enter__(self) -> Lease:
            record.write_text('{"judge": {"model": "another"}}')
            return super().__enter__()

    monkeypatch.setattr("artifactscan.pipelines.judge.run.Lease", LaterLease)
    arguments = [part.format(index=index, out=out) for part in JOBS["judge"]]
    assert import_module("artifactscan.jobs.judge").main(arguments) == 2
    assert f"output {out} holds judgements with " in capsys.readouterr().err
    assert record.read_text() == '{"judge": {"model": "another"}}'


@pytest.fixture
def frames(labelled: Path) -> LabelledFrames:
    return load_labelled_frames([str(labelled / "labels.csv")], [])


def test_a_frame_table_that_another_job_finishes_meanwhile_is_not_decoded_again(
    frames: LabelledFrames, tmp_path: Path, watched: Callable[[str, Callable[[], object]], None]
) -> None:
    """Decoding would fail, as there is no Ray; and it would begin with removing what the other job wrote."""
    spec = load_checkpoint("builtin").card.input
    assert isinstance(spec, InputSpec)
    table = find_frame_table(str(tmp_path), frames, spec)
    part = storage.join(table.parts, "part.parquet")

    def finish() -> None:
        storage.write_bytes(part, b"part")
        table.write_index(pa.Table.from_pylist([], INDEX))

    watched(table.lease, finish)
    pools = size_pools(Resources(nodes=(Node(cpus=2),)), use_gpu=False, decode_actors=1, classify_actors=0)
    found = build_frame_table(frames, spec, str(tmp_path), pools=pools, limits=DecodeLimits())
    assert found.exists()
    assert storage.read_bytes(part) == b"part"
