"""Checkpoints from and to a model hub: loading, the push command, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from checkpoints import CHECKPOINT
from hub_env import hub_env
from hub_server import HubServer
from huggingface_hub import ModelCard

from artifactscan.errors import UsageError
from artifactscan.jobs.checkpoint import CheckpointPushSettings, main
from artifactscan.model.checkpoint import Checkpoint, checkpoint_files, load_checkpoint, save_checkpoint
from artifactscan.model.exported_graph import ExportedGraph, GraphInfo, digest_of_file


def with_graph(checkpoint: Checkpoint, model: bytes = b"<net/>") -> Checkpoint:
    """The checkpoint with a graph of which nothing is run."""
    content = {"graph.xml": model, "graph.bin": b"1", "graph.npz": b"2"}
    info = GraphInfo(
        checkpoint=checkpoint.digest,
        precision="fp32",
        openvino="2026.2",
        torch="2.11",
        frames=0,
        largest_change=0.0,
        mean_change=0.0,
        files={name: digest_of_file(data) for name, data in content.items()},
    )
    return replace(checkpoint, graph=ExportedGraph(info=info, model=model, weights=b"1", reference=b"2"))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    save_checkpoint(CHECKPOINT, str(tmp_path / "mine"))
    return str(tmp_path / "mine")


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as raised:
        act()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_flags_are_frozen() -> None:
    names = [field.name for field in fields(CheckpointPushSettings)]
    assert names == ["checkpoint", "to", "private", "license", "message"]


def test_what_is_pushed_is_loaded(folder: str, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/name", "--license", "apache-2.0", "--private"]) == 0
    repo = hub.repos["org/name"]
    commit = repo.branches["main"]
    assert capsys.readouterr().out == f"hf://org/name@{commit}: {CHECKPOINT.name}\n"
    assert repo.private and repo.messages == ["initial commit", f"artifactscan checkpoint {CHECKPOINT.name}"]
    assert set(repo.files) == {".gitattributes", "card.json", "model.safetensors", "README.md"}
    assert ModelCard(repo.files["README.md"].decode()).data.license == "apache-2.0"
    assert json.loads(repo.files["card.json"]) == json.loads(json.dumps(asdict(CHECKPOINT.card)))
    for uri in ("hf://org/name", "hf://org/name@main", f"hf://org/name@{commit}", f"hf://models/org/name@{commit}"):
        assert load_checkpoint(uri) == CHECKPOINT
        assert load_checkpoint(uri).digest == CHECKPOINT.digest


def test_the_same_push_again_makes_no_commit(folder: str, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["push", "--checkpoint", folder, "--to", "hf://org/name"]
    assert main(flags) == main(flags) == 0
    last = hub.repos["org/name"].branches["main"]
    said = capsys.readouterr().out.splitlines()
    assert said[2:] == [
        f"hf://org/name@{last}: {CHECKPOINT.name}, which it had already: no commit was made",
        "the model card states no licence; --license apache-2.0, say, names one",
    ]
    assert len(hub.repos["org/name"].commits) == 2


def test_a_checkpoint_goes_from_one_repository_to_another(folder: str, hub: HubServer) -> None:
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/one"]) == 0
    assert main(["push", "--checkpoint", "hf://org/one", "--to", "hf://org/two", "--message", "copied"]) == 0
    assert load_checkpoint("hf://org/two") == CHECKPOINT
    assert hub.repos["org/two"].messages[1:] == ["copied"]


def test_the_graph_goes_along_and_one_of_another_checkpoint_goes(folder: str, hub: HubServer, tmp_path: Path) -> None:
    exported = with_graph(CHECKPOINT)
    save_checkpoint(exported, str(tmp_path / "exported"))
    assert main(["push", "--checkpoint", str(tmp_path / "exported"), "--to", "hf://org/name"]) == 0
    assert load_checkpoint("hf://org/name") == exported
    assert load_checkpoint("hf://org/name", graph=False) == CHECKPOINT
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/name"]) == 0
    assert load_checkpoint("hf://org/name") == CHECKPOINT
    assert not [name for name in hub.repos["org/name"].files if name.startswith("graph")]


def test_weights_that_are_pickles_are_not_loaded(hub: HubServer) -> None:
    card = checkpoint_files(CHECKPOINT)["card.json"]
    commit = hub.commit("org/name", {"card.json": card, "pytorch_model.bin": b"\x80\x04N."})
    assert refusal(lambda: load_checkpoint("hf://org/name")) == (
        "checkpoint hf://org/name has no model.safetensors; give a folder with model.safetensors and card.json, or "
        "`builtin`"
    )
    assert f"org/name/resolve/{commit}/pytorch_model.bin" not in [request.key for request in hub.requests]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "checkpoint hf://org/name has no card.json; give a folder with"),
        ({"card.json": b"{"}, "checkpoint card hf://org/name/card.json is damaged or cut off"),
        ({"model.safetensors": b"cut"}, "checkpoint file hf://org/name/model.safetensors is damaged or cut off"),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(hub: HubServer, files: dict[str, bytes], said: str) -> None:
    whole = checkpoint_files(CHECKPOINT) if files else {"config.json": b"{}"}
    hub.commit("org/name", {**whole, **files})
    assert refusal(lambda: load_checkpoint("hf://org/name")).startswith(said)


def test_a_push_says_what_is_wrong_and_does_nothing(
    folder: str, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, said in (
        (("--checkpoint", folder, "--to", "org/name"), "org/name is not on a model hub; write hf://org/name@revision"),
        (("--checkpoint", folder, "--to", "hf://datasets/org/name"), "is a dataset on a hub"),
        (("--checkpoint", "gone", "--to", "hf://org/name"), "checkpoint gone has no card.json"),
    ):
        assert main(["push", *flags]) == 2
        assert said in capsys.readouterr().err
    with hub_env({"HF_TOKEN": ""}):
        assert main(["push", "--checkpoint", folder, "--to", "hf://org/name"]) == 2
    assert capsys.readouterr().err.startswith("error: hf://org/name cannot be written: ")
    assert hub.repos == {}


def test_a_model_of_something_else_is_not_written_over(
    folder: str, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"README.md": b"---\ntags: [diffusers]\n---\n# theirs", "model.safetensors": b"theirs"}
    hub.commit("org/theirs", there)
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/theirs"]) == 2
    assert "hf://org/theirs holds something else (README.md, model.safetensors), and a" in capsys.readouterr().err
    assert hub.repos["org/theirs"].files == there


@pytest.mark.parametrize("readme", [{}, {"README.md": b"# written by hand"}])
def test_a_checkpoint_that_was_uploaded_otherwise_is_known_by_its_card(
    folder: str, hub: HubServer, readme: dict[str, bytes]
) -> None:
    hub.commit("org/name", checkpoint_files(CHECKPOINT) | readme)
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/name"]) == 0
    assert ModelCard(hub.repos["org/name"].files["README.md"].decode()).data.library_name == "artifactscan"


def test_a_push_into_a_hub_that_fails_ends_with_3(
    folder: str, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.status("api/models/org/name/commit/*", 502)
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/name"]) == 3
    assert "answered 502" in capsys.readouterr().err
    hub.faults.clear()
    assert main(["push", "--checkpoint", folder, "--to", "hf://org/name"]) == 0
    assert load_checkpoint("hf://org/name") == CHECKPOINT
