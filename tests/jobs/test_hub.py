"""Jobs that read from a model hub: pinned once, recorded, the same afterwards; and refusals in one sentence."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from hub_env import hub_env
from hub_server import HubServer
from media import write_clip
from paths import ROOT

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import Checkpoint, checkpoint_files

LABELS = "file,frame_index,boundary,texture,motion,object\na.mp4,0,0,1,0,0\n"


@pytest.fixture(scope="module")
def scorer() -> Checkpoint:
    return initialise("test_resnet.r160_in1k", height=48, width=80, seed=1)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4", seconds=1)
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "clips"


def run(job: str, *flags: object) -> int:
    return import_module(f"artifactscan.jobs.{job}").main([*map(str, flags)])


def record(store: Path) -> dict:
    (file,) = store.glob("runs/*/run.json")
    return json.loads(file.read_text())


def test_a_run_names_the_commit_that_it_was_scored_with(
    scorer: Checkpoint, clips: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.commit("org/name", checkpoint_files(scorer))
    store = clips.parent / "store"
    flags = ("--input", clips, "--output", store, "--executor", "local", "--quiet", "--checkpoint", "hf://org/name")
    assert run("score", *flags) == 0
    assert f"hf://org/name is read at hf://org/name@{commit}\n" in capsys.readouterr().out
    found = record(store)
    assert (found["checkpoint"]["hub"], found["checkpoint"]["digest"]) == (f"hf://org/name@{commit}", scorer.digest)
    assert found["settings"]["checkpoint"] == f"hf://org/name@{commit}"

    hub.commit("org/name", checkpoint_files(replace(scorer, weights=scorer.weights + b"\0")))
    assert run("why", clips / "a.mp4", "--store", store, "--output", clips.parent / "maps") == 0
    assert f"{clips}/a.mp4: the same scores here as in run {found['run']}" in capsys.readouterr().out.replace("\n", " ")
    hub.requests.clear()
    with hub_env({"HF_HUB_OFFLINE": "1"}):
        assert run("score", *flags[:-1], f"hf://org/name@{commit}") == 0
    assert "nothing to do" in capsys.readouterr().out and not hub.requests


@pytest.mark.parametrize(
    "command",
    [
        ("score", "--input", "CLIPS", "--output", "OUT", "--checkpoint", "URI"),
        ("audit", "--corpus", "CLIPS", "--store", "OUT", "--checkpoint", "URI"),
        ("audit", "--corpus", "CLIPS", "--store", "OUT", "--human-labels", "hf://datasets/org/none"),
        ("evaluate", "--labels", "TABLE", "--output", "OUT", "--checkpoint", "URI"),
        ("evaluate", "--labels", "hf://datasets/org/none", "--output", "OUT", "--checkpoint", "builtin"),
        ("finetune", "--labels", "TABLE", "--clips", "CLIPS", "--output", "OUT", "--init", "URI"),
        ("finetune", "--labels", "hf://datasets/org/none", "--output", "OUT"),
        ("extract", "--input", "CLIPS", "--output", "OUT", "--checkpoint", "URI"),
        ("extract", "--input", "CLIPS", "--output", "OUT", "--labels", "hf://datasets/org/none"),
        ("explain", "--video", "CLIPS/a.mp4", "--output", "OUT", "--checkpoint", "URI"),
        ("checkpoint", "export", "--output", "OUT", "--checkpoint", "URI"),
        ("checkpoint", "push", "--to", "hf://org/else", "--checkpoint", "URI"),
        ("labels", "agree", "TABLE", "hf://datasets/org/none"),
        ("labels", "push", "--labels", "hf://datasets/org/none", "--to", "OUT"),
    ],
    ids=" ".join,
)
def test_what_the_hub_does_not_have_ends_every_job_with_one_sentence(
    command: tuple[str, ...], clips: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"CLIPS": str(clips), "OUT": str(clips.parent / "out"), "TABLE": str(clips.parent / "labels.csv")}
    words = [word.replace("CLIPS/", f"{clips}/") for word in command[1:]]
    assert run(command[0], *(names.get(word, word.replace("URI", "hf://org/none@v1")) for word in words)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: hf://(org/none@v1|datasets/org/none) cannot be read: the hub at", line)
    assert not (clips.parent / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("score", "--input", "hf://datasets/org/clips", "--output", "OUT"),
        ("score", "--input", "CLIPS", "--output", "hf://datasets/org/scores"),
        ("extract", "--input", "CLIPS", "--output", "hf://datasets/org/frames"),
        ("evaluate", "--labels", "TABLE", "--output", "hf://org/figures", "--checkpoint", "builtin"),
        ("checkpoint", "init", "--backbone", "resnet50", "--output", "hf://org/name"),
    ],
    ids=" ".join,
)
def test_nothing_else_is_read_from_or_written_to_a_hub(
    command: tuple[str, ...], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"CLIPS": str(clips), "OUT": str(clips.parent / "out"), "TABLE": str(clips.parent / "labels.csv")}
    assert run(command[0], *(names.get(word, word) for word in command[1:])) == 2
    assert "is on a model hub, from which only checkpoints and labels are read" in capsys.readouterr().err


def test_the_environment_of_a_command_is_that_of_huggingface_hub(scorer: Checkpoint, hub: HubServer) -> None:
    """In processes of their own, which read it as they start."""
    commit = hub.commit("org/name", checkpoint_files(scorer))
    job = [sys.executable, str(ROOT / "jobs/checkpoint.py"), "push", "--to", "hf://org/copy", "--checkpoint"]
    done = subprocess.run([*job, "hf://org/name"], capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if not re.search(r"hf://\S+, \d+ s$", line)]  # activities
    assert done.stdout.splitlines()[0] == f"hf://org/name is read at hf://org/name@{commit}"
    assert hub.repos["org/copy"].files["model.safetensors"] == scorer.weights
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*job, "hf://org/other"], capture_output=True, text=True, timeout=120, env=offline)
    assert done.returncode == 2
    assert done.stderr.startswith("error: hf://org/other cannot be read: HF_HUB_OFFLINE is set, and it was not")


@pytest.mark.parametrize(
    ("command", "endpoint"),
    [
        (("checkpoint", "push", "--checkpoint", "builtin", "--to", "hf://org/name"), "http://h:port"),
        (("score", "--input", "CLIPS", "--output", "OUT", "--checkpoint", "hf://org/name"), "http://[::1"),
        (("labels", "push", "--labels", "TABLE", "--to", "hf://datasets/org/name"), "http://h:99999"),
        (("labels", "agree", "TABLE", "hf://datasets/org/name"), "http://h:port"),
        (("checkpoint", "init", "--backbone", "test_resnet.r160_in1k", "--output", "OUT"), "http://h:port"),
        (("labels", "push", "--labels", "TABLE", "--to", "hf://datasets/org/name"), ""),
        (("checkpoint", "push", "--checkpoint", "builtin", "--to", "hf://org/name"), "notaurl"),
    ],
)
def test_an_endpoint_that_is_no_address_ends_with_one_sentence(
    clips: Path, command: tuple[str, ...], endpoint: str
) -> None:
    """In processes of their own: libraries read it as they are imported, timm as well."""
    names = {"CLIPS": str(clips), "OUT": str(clips.parent / "out"), "TABLE": str(clips.parent / "labels.csv")}
    words = [names.get(word, word) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "artifactscan", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_ENDPOINT": endpoint},
    )
    (line,) = [line for line in done.stderr.splitlines() if not re.search(r"hf://\S+, \d+ s$", line)]  # activities
    assert f"HF_ENDPOINT is '{endpoint}', which is no address of a hub; set it to one like" in line
    assert line.startswith("error: ") and done.returncode == 2
    assert not (clips.parent / "out").exists()
