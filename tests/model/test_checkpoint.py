"""Checkpoint folders: written and read back; each error is one sentence."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server

from artifactscan.errors import CutOffError, UsageError
from artifactscan.jobs.checkpoint import main
from artifactscan.labels import LABELS
from artifactscan.model.backbone import check_weights, initialise
from artifactscan.model.checkpoint import (
    BACKBONES,
    BUILTIN_FOLDER,
    Calibration,
    Checkpoint,
    absolute_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

SMALL = "test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return initialise(SMALL, height=48, width=80, seed=1)


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(checkpoint, str(tmp_path / "checkpoint"))
    return tmp_path / "checkpoint"


def refusal(folder: Path | str) -> str:
    with pytest.raises(UsageError) as raised:
        check_weights(load_checkpoint(str(folder)))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_checkpoint_is_read_as_it_was_written(checkpoint: Checkpoint, folder: Path, s3: S3Server) -> None:
    assert load_checkpoint(folder) == load_checkpoint(str(folder)) == checkpoint
    save_checkpoint(checkpoint, s3.uri("models/one"))
    assert load_checkpoint(s3.uri("models/one")) == checkpoint


def test_a_checkpoint_has_a_short_repr(checkpoint: Checkpoint) -> None:
    assert repr(checkpoint) == f"Checkpoint({SMALL}, 48x80 pixels, not trained, digest {checkpoint.digest})"


def test_the_same_seed_gives_the_same_checkpoint(checkpoint: Checkpoint) -> None:
    assert initialise(SMALL, height=48, width=80, seed=1) == checkpoint
    assert initialise(SMALL, height=48, width=80, seed=2).digest != checkpoint.digest


def test_the_digest_covers_what_scores_depend_on_and_no_thresholds(checkpoint: Checkpoint) -> None:
    card = checkpoint.card
    other_threshold = {"thresholds": {**card.thresholds, "motion": 0.6}}
    for same in (other_threshold, {"metrics": {"f1": 0.5}}, {"origin": "elsewhere"}, {"data_digest": "1"}):
        assert replace(checkpoint, card=replace(card, **same)).digest == checkpoint.digest
    for other in (
        {"calibration": {**card.calibration, "motion": Calibration(scale=2.0)}},
        {"input": replace(card.input, resize="area")},
        {"backbone": "resnet18"},
    ):
        assert replace(checkpoint, card=replace(card, **other)).digest != checkpoint.digest
    assert replace(checkpoint, weights=checkpoint.weights + b"\0").digest != checkpoint.digest


def test_a_checkpoint_is_known_by_the_digest_that_a_run_recorded(checkpoint: Checkpoint) -> None:
    then = dict.fromkeys(LABELS, 0.25)
    older = {"digest": checkpoint.digest_with_thresholds(then), "thresholds": then}
    assert older["digest"] not in (checkpoint.digest, checkpoint.digest_with_thresholds())
    another = {"digest": "0123456789abcdef", "thresholds": then}
    known = checkpoint.known_in([another, older, {"digest": checkpoint.digest}])
    assert (known.digest, known.name) == (older["digest"], f"{SMALL}-{older['digest'][:8]}")
    assert known.known_in([older]) is known
    for recorded in ([], [another], [{"digest": checkpoint.digest}, older]):
        assert checkpoint.known_in(recorded) is checkpoint
    other = replace(checkpoint, weights=checkpoint.weights + b"\0")
    assert other.known_in([older]) is other


def test_of_several_digests_that_of_the_cards_own_thresholds_counts(checkpoint: Checkpoint) -> None:
    own = {"digest": checkpoint.digest_with_thresholds(), "thresholds": dict(checkpoint.card.thresholds)}
    then = dict.fromkeys(LABELS, 0.25)
    newer = {"digest": checkpoint.digest_with_thresholds(then), "thresholds": then}
    assert checkpoint.known_in([newer, own]).digest == own["digest"]
    # A run of this version under the older digest, since when the thresholds changed again:
    other = replace(checkpoint, card=replace(checkpoint.card, thresholds=dict.fromkeys(LABELS, 0.75)))
    assert other.known_in([{**own, "thresholds": then}, own]).digest == own["digest"]


def test_builtin_is_trained_measured_under_all_protocols_and_small() -> None:
    builtin = load_checkpoint("builtin")
    assert builtin.card.backbone == "tf_efficientnet_lite2"
    assert builtin.card.trained and builtin.card.context_frames == 2
    assert set(builtin.card.metrics["protocols"]) == {"videos", "frames", "generators"}
    assert sum(file.stat().st_size for file in BUILTIN_FOLDER.iterdir()) < 15e6
    check_weights(builtin)


def test_the_model_card_gives_the_figures_of_the_card() -> None:
    """Protocol, figure and interval, row by row."""
    protocols = load_checkpoint("builtin").card.metrics["protocols"]
    rows = re.findall(
        r"^\| (videos|generators|frames) \| macro ([\w ]+) \| ([\d.]+) \| ([\d.]+)–([\d.]+) \| ([\d.]+) \|$",
        (BUILTIN_FOLDER / "MODEL_CARD.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 12
    for protocol, metric, *told in rows:
        figure = protocols[protocol]["figures"]["macro"][metric.replace(" ", "_")]
        assert told == [f"{figure[name]:.3f}" for name in ("value", "low", "high", "majority")]


def test_a_card_says_how_it_stands_on_unseen_videos(checkpoint: Checkpoint) -> None:
    figure = {"value": 0.456, "low": 0.3, "high": 0.6, "majority": 0.25}
    metrics = {"protocols": {"videos": {"figures": {"macro": {"average_precision": figure}}}}}
    said = "macro average precision 0.46 (0.30–0.60) on unseen videos, chance 0.25"
    assert replace(checkpoint.card, metrics=metrics).quality() == said
    for unknown in ({}, {"protocols": {"frames": {}}}, {"protocols": []}, {"protocols": {"videos": None}}):
        assert replace(checkpoint.card, metrics=unknown).quality() is None


def test_a_card_is_never_left_beside_the_weights_of_another(
    checkpoint: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails leaves no card, so that the folder is no checkpoint."""

    def no_room(uri: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("artifactscan.storage.write_bytes", no_room)
    with pytest.raises(CutOffError, match=r"cannot be written: .*No space left on device; make room"):
        save_checkpoint(checkpoint, str(folder))
    assert not (folder / "card.json").exists()


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert refusal(folder).startswith(f"checkpoint {folder} has no model.safetensors; give a folder with")
    (folder / "card.json").unlink()
    assert refusal(folder).startswith(f"checkpoint {folder} has no card.json; give a folder with")
    assert refusal(tmp_path / "nowhere").startswith(f"checkpoint {tmp_path}/nowhere has no card.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ["texture", "boundary", "motion", "object"]}, "its labels are ['texture', 'boundary', 'motion'"),
        ({"card_version": 3}, "its version is 3, this artifactscan reads 1 and 2; upgrade artifactscan"),
        ({"thresholds": {"boundary": 0.5}}, "has no 'texture'; add it"),
        ({"thresholds": dict.fromkeys(("boundary", "texture", "motion", "object"), 2)}, "threshold of boundary is 2"),
        ({"input": {"height": 0, "width": 80}}, "input height 0 is not a whole number from 1 to 4096"),
        ({"input": {"height": 48, "width": 80, "resize": "nearest"}}, "input resize 'nearest' is not one of bicubic"),
        ({"input": {"height": 48, "width": 80, "std": [0, 1, 1]}}, "divides by zero"),
        ({"backbone": "resnet5000"}, "backbone 'resnet5000' is not a timm model"),
        ({"backbone": "resnet18"}, "not those of the card's backbone resnet18"),
        ({"surplus": 1}, "its field 'surplus' is unknown; remove it"),
    ],
)
def test_a_card_that_cannot_be_used(folder: Path, change: dict[str, Any], words: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **change}))
    assert words in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "\udcff"])
def test_a_card_that_is_not_json(folder: Path, text: str) -> None:
    (folder / "card.json").write_bytes(text.encode(errors="surrogateescape"))
    assert refusal(folder).startswith(f"checkpoint card {folder}/card.json is damaged or cut off (")
    assert refusal(folder).endswith("); copy it again")


def test_a_card_that_is_no_object(folder: Path) -> None:
    (folder / "card.json").write_text("[]")
    assert refusal(folder).startswith(f"checkpoint card {folder}/card.json cannot be used: ")


@pytest.mark.parametrize(
    "cut", [lambda data: data[:-1], lambda data: data[:100], lambda data: b"", lambda data: b"x" * 99]
)
def test_weights_cut_off(folder: Path, cut: Callable[[bytes], bytes]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(cut(path.read_bytes()))
    assert refusal(folder).startswith(f"checkpoint file {path} is damaged or cut off")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_init_writes_a_checkpoint_of_each_of_the_four(
    backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    assert main(["init", "--backbone", backbone, "--output", str(folder), "--height", "64", "--width", "96"]) == 0
    made = load_checkpoint(str(folder))
    check_weights(made)
    assert (made.card.backbone, made.card.input.height, made.card.input.width) == (backbone, 64, 96)
    assert "it is not trained: its scores mean nothing" in capsys.readouterr().out
    assert main(["init", "--backbone", SMALL, "--output", str(folder)]) == 2
    assert capsys.readouterr().err == f"error: --output {folder} holds a checkpoint already; give a new folder\n"
    assert load_checkpoint(str(folder)).digest == made.digest


def test_init_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--backbone", "resnet_fifty", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: backbone 'resnet_fifty' is not a timm model; near it are resnet")
    assert main(["train"]) == 2
    (tmp_path / "file").touch()
    assert main(["init", "--backbone", SMALL, "--output", str(tmp_path / "file")]) == 2
    assert "not a folder" in capsys.readouterr().err.lower()


def test_a_checkpoint_is_recorded_as_it_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = [absolute_checkpoint(source) for source in ("builtin", "mine/", "s3://b/mine/", "/a/mine")]
    assert recorded == ["builtin", f"{tmp_path}/mine", "s3://b/mine", "/a/mine"]
