"""What the job refuses: exit 2 and one sentence, before any work."""

from pathlib import Path

import pytest
from aws_env import set_aws_env
from exported_nights import export, write_nights
from media import write_clip
from s3_server import S3Server

from artifactscan.jobs.score import main
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.store.layout import Store


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160), str(folder))
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    write_clip(tmp_path / "corpus" / "clip.mp4", seconds=1)
    return tmp_path / "corpus"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs the job, which has to end with 2, and returns what it says after ``error:``."""
    assert main([*map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    return said[0].removeprefix("error: ")


def test_an_input_without_videos(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal(capsys, "--input", tmp_path / "empty", "--output", tmp_path / "out", "--checkpoint", checkpoint)
    assert said == f"input {tmp_path}/empty holds no videos: it is empty"
    said = refusal(capsys, "--input", tmp_path / "none", "--output", tmp_path / "out", "--checkpoint", checkpoint)
    assert str(tmp_path / "none") in said
    assert not (tmp_path / "out" / "runs").exists()
    refusal(capsys, "--input", tmp_path / "none", "--output", tmp_path / "new", "--checkpoint", checkpoint)
    assert not (tmp_path / "new").exists()


def test_an_output_that_cannot_be_written(
    corpus: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = refusal(capsys, "--input", corpus, "--output", tmp_path / "file", "--checkpoint", checkpoint)
    assert said.startswith(f"output {tmp_path}/file cannot be written")


def test_an_output_that_holds_an_export(
    corpus: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, lake = Store(str(tmp_path / "store")), tmp_path / "lake"
    write_nights(store, 1)
    export(store, "delta", lake)
    before = sorted(lake.rglob("*"))
    capsys.readouterr()
    said = refusal(capsys, "--input", corpus, "--output", lake, "--checkpoint", checkpoint)
    assert said == f"--output {lake} holds Delta tables; give the store a folder of its own"
    assert sorted(lake.rglob("*")) == before


def test_a_checkpoint_cut_off(
    corpus: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "card.json").write_bytes((checkpoint / "card.json").read_bytes())
    weights = (checkpoint / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    said = refusal(capsys, "--input", corpus, "--output", tmp_path / "out", "--checkpoint", cut)
    assert said.startswith(f"checkpoint file {cut}/model.safetensors is damaged or cut off")


def test_weights_of_another_backbone(
    corpus: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    card = (checkpoint / "card.json").read_text()
    (other / "card.json").write_text(card.replace("test_resnet.r160_in1k", "resnet18"))
    (other / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    said = refusal(capsys, "--input", corpus, "--output", tmp_path / "out", "--checkpoint", other)
    assert "resnet18" in said
    assert not (tmp_path / "out" / "runs").exists()


def test_a_bucket_that_is_not_there_and_wrong_credentials(
    s3: S3Server, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "--input", "s3://no-such-bucket/x", "--output", tmp_path, "--checkpoint", checkpoint)
    assert "s3://no-such-bucket/x" in said
    assert "the bucket does not exist" in said
    s3.faults.status("*", 403, code="InvalidAccessKeyId")
    said = refusal(capsys, "--input", s3.uri("in"), "--output", tmp_path, "--checkpoint", checkpoint)
    assert "the AWS credentials are not accepted (InvalidAccessKeyId)" in said
    set_aws_env(monkeypatch, {name: value for name, value in s3.env.items() if "KEY" not in name})
    said = refusal(capsys, "--input", s3.uri("in"), "--output", tmp_path, "--checkpoint", checkpoint)
    assert "no AWS credentials" in said


def test_wrong_values(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--input", corpus, "--output", tmp_path, "--sample-fps", 0)
    assert said == "--sample-fps is 0.0; give a number above 0"


def test_unknown_flags_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--no-such-flag"]) == 2
