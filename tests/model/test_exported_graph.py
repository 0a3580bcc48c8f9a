"""A checkpoint exported as a graph: the scores of torch without torch, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from checkpoints import random_probe
from media import write_clip
from paths import ROOT

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.jobs.checkpoint import main
from artifactscan.jobs.score import main as score
from artifactscan.model import openvino_backend
from artifactscan.model.backbone import initialise, probe_frames
from artifactscan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE, ClassifySettings
from artifactscan.model.export_graph import export_graph

pytest.importorskip("openvino")

SMALL = "test_resnet.r160_in1k"
SPEC = InputSpec(height=64, width=96)
AUTO, FP32 = ClassifySettings(device="cpu"), ClassifySettings(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return initialise(SMALL, height=64, width=96, seed=3)


@pytest.fixture(scope="module")
def exported(plain: Checkpoint) -> Checkpoint:
    return replace(plain, graph=export_graph(plain))


@pytest.fixture
def folder(exported: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(exported, str(tmp_path / "exported"))
    return tmp_path / "exported"


def probe(**fields: object) -> Checkpoint:
    return random_probe("test_vit.r160_in1k", InputSpec(height=160, width=160), components=8, **fields)


@pytest.mark.parametrize(
    "checkpoint",
    [
        initialise("test_efficientnet.r160_in1k", height=64, width=96, seed=3),
        probe(neighbours=2, smoothing=0.4),
        random_probe(SMALL, InputSpec(height=64, width=96), blocks=(1, 2), tokens=("mean", "std"), unit_length=True),
        random_probe(SMALL, InputSpec(height=64, width=128), tiles=(1, 2), components=4),
    ],
    ids=["efficientnet", "neighbours", "blocks", "tiles"],
)
def test_the_graph_gives_the_scores_of_torch(checkpoint: Checkpoint) -> None:
    with_graph = replace(checkpoint, graph=export_graph(checkpoint))
    assert with_graph.graph is not None and with_graph.graph.info.largest_change < 1e-4
    frames = probe_frames(checkpoint.card.input, 21)
    clips = [frames[:5], frames[5:6], frames[6:]]
    by_torch, by_graph = (Classifier(one, FP32) for one in (checkpoint, with_graph))
    np.testing.assert_allclose(by_graph.scores(clips), by_torch.scores(clips), atol=1e-4)
    assert by_graph.scores([]).shape == (0, 4)
    assert (by_graph.device, by_graph.precision) == ("cpu", "fp32")
    assert by_graph.notes[0].startswith("fp32 by OpenVINO, which moves a score by up to 0.0")
    assert with_graph.digest == checkpoint.digest


def test_a_folder_keeps_the_graph_until_another_checkpoint_is_saved(
    plain: Checkpoint, exported: Checkpoint, folder: Path
) -> None:
    assert exported.graph is not None
    loaded = load_checkpoint(folder)
    assert loaded.graph is not None
    assert (loaded.graph.info, loaded.graph.weights) == (exported.graph.info, exported.graph.weights)
    save_checkpoint(plain, str(folder))
    assert load_checkpoint(folder).graph is None


def test_where_the_graph_is_run(plain: Checkpoint, exported: Checkpoint) -> None:
    assert AUTO.uses_graph(exported) and FP32.uses_graph(exported)
    assert replace(AUTO, device="auto").uses_graph(exported)
    assert not AUTO.uses_graph(plain)
    assert not replace(AUTO, device="cuda").uses_graph(exported)
    assert not replace(AUTO, compile=True).uses_graph(exported)
    for checkpoint in (plain, exported):
        with pytest.raises(UsageError, match="--precision int8 needs a checkpoint with a graph in int8"):
            replace(AUTO, precision="int8").uses_graph(checkpoint)


def int8(exported: Checkpoint, change: float) -> Checkpoint:
    assert exported.graph is not None
    info = replace(exported.graph.info, precision="int8", largest_change=change)
    return replace(exported, graph=replace(exported.graph, info=info))


def test_auto_takes_int8_only_where_no_score_moves_much(exported: Checkpoint) -> None:
    near, far = int8(exported, 0.004), int8(exported, 0.03)
    assert Classifier(near, AUTO).precision == "int8"
    by_torch = Classifier(far, AUTO)
    assert by_torch.precision in ("fp32", "bf16")
    assert by_torch.notes[-1] == (
        "torch, not the exported graph in int8, which moves a score by up to 0.030; "
        "--precision int8 uses it all the same"
    )
    assert Classifier(far, replace(AUTO, precision="int8")).precision == "int8"
    assert Classifier(far, FP32).notes == []
    with pytest.raises(UsageError, match="--precision int8 runs on the CPU, uncompiled"):
        replace(AUTO, precision="int8", device="cuda").uses_graph(near)


def test_a_graph_that_computes_otherwise_here_is_not_run(exported: Checkpoint) -> None:
    """Measured at start-up, on the frames that it brings."""
    from artifactscan.model.exported_graph import as_npz

    assert exported.graph is not None
    arrays = exported.graph.arrays()
    arrays["scores"] = np.clip(arrays["scores"] + 0.2, 0, 1)
    moved = replace(exported, graph=replace(exported.graph, reference=as_npz(**arrays)))
    assert Classifier(moved, AUTO).notes[-1].startswith("torch, not the exported graph in fp32, which moves a score by")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("graph.bin", lambda data: data[:-1], "graph.bin is damaged or cut off; copy it again"),
        ("graph.xml", lambda data: data.replace(b"Result", b"Reslut"), "graph.xml is damaged or cut off"),
        ("graph.json", lambda _: b"[]", "graph.json cannot be used: it holds list, not an object"),
        ("graph.json", lambda data: data[:40], "graph.json cannot be used: "),
        ("graph.json", lambda data: data.replace(b"fp32", b"fp4"), "its precision is 'fp4', not one of fp32, int8"),
        (
            "graph.json",
            lambda data: data.replace(b'version": 1', b'version": 9'),
            "its version is 9, this",
        ),
        ("graph.json", lambda data: data.replace(b'"frames"', b'"frame"'), "its fields are not those of a graph"),
        ("graph.npz", lambda _: None, "lacks a file"),
    ],
)
def test_a_damaged_graph_is_refused(folder: Path, name: str, change, words: str) -> None:
    data = change((folder / name).read_bytes())
    (folder / name).unlink() if data is None else (folder / name).write_bytes(data)
    with pytest.raises(UsageError) as raised:
        load_checkpoint(folder)
    assert words in str(raised.value)


def test_the_graph_of_another_checkpoint_is_refused(folder: Path) -> None:
    other = initialise(SMALL, height=64, width=96, seed=4)
    (folder / "model.safetensors").write_bytes(other.weights)
    with pytest.raises(UsageError, match=f"was made from checkpoint .*, and the folder holds {other.digest}"):
        load_checkpoint(folder)


def test_scoring_an_exported_checkpoint_loads_no_torch(folder: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=3)
    script = (
        "import sys; from artifactscan.jobs.score import main; code = main(sys.argv[1:]); "
        "print(sorted({'ray', 'torch', 'timm'} & sys.modules.keys()), code)"
    )
    places = ["--input", str(clip), "--output", str(tmp_path / "store"), "--checkpoint", str(folder)]
    done = subprocess.run([sys.executable, "-c", script, *places], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
    [record] = [json.loads(path.read_text()) for path in (tmp_path / "store").glob("runs/*/run.json")]
    graph = load_checkpoint(folder).graph
    assert graph is not None
    assert record["spec"]["backend"] == f"openvino {record['versions']['openvino']}, graph {graph.digest}"
    assert "decoded and classified in the job's own process, without Ray" in record["notes"]
    assert record["precision"] in (["fp32"], ["bf16"])
    assert any("by OpenVINO" in note for note in record["notes"])


def test_without_openvino_it_is_said_before_anything_is_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(openvino_backend, "version", missing)
    clip = write_clip(tmp_path / "clip.mp4")
    places = ["--input", str(clip), "--output", str(tmp_path / "store"), "--checkpoint", str(folder)]
    assert score(places) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: the checkpoint has an exported graph, which needs OpenVINO: pip install 'artifactscan[openvino]', "
        "or give --device cuda or a folder without graph.json"
    )
    assert not (tmp_path / "store").exists()


def test_the_command_exports_and_says_how_much_scores_move(
    plain: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made = str(tmp_path / "source"), str(tmp_path / "made")
    save_checkpoint(plain, source)
    assert main(["export", "--checkpoint", source, "--output", made]) == 0
    assert capsys.readouterr().out == (
        f"{made}: exported in fp32; it moves a score by up to 0.0000, 0.0000 on average, on synthetic frames\n"
    )
    assert load_checkpoint(made).digest == plain.digest
    assert main(["export", "--checkpoint", source, "--output", made]) == 2
    assert "holds a checkpoint already" in capsys.readouterr().err
    assert main(["export", "--checkpoint", source, "--output", source]) == 0, "into its own folder"
    assert load_checkpoint(source).graph is not None
    assert main(["export", "--checkpoint", source, "--output", made, "--precision", "int8"]) == 2
    assert "--precision int8 and --calibrate CLIPS go together; give both or neither" in capsys.readouterr().err


def test_the_command_exports_in_int8(plain: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nncf")
    source, made, clips = (tmp_path / name for name in ("source", "made", "clips"))
    save_checkpoint(plain, str(source))
    clips.mkdir()
    for number in range(3):
        write_clip(clips / f"{number}.mp4", seconds=5)
    arguments = ["export", "--checkpoint", str(source), "--output", str(made), "--precision", "int8"]
    assert main([*arguments, "--calibrate", str(clips)]) == 2
    assert "has 3 videos with frames" in capsys.readouterr().err
    for number in range(3, 8):
        write_clip(clips / f"{number}.mp4", seconds=5)
    assert main([*arguments, "--calibrate", str(clips)]) == 0
    said = capsys.readouterr().out
    assert "exported in int8; it moves a score by up to" in said
    loaded = load_checkpoint(made)
    assert loaded.graph is not None and loaded.graph.info.precision == "int8"
    assert loaded.graph.info.frames == 4 * 8, "eight frames at most of every second clip"
    change = loaded.graph.info.largest_change
    assert ("that is 0.01 or more" in said) == (change >= MAX_SCORE_CHANGE)
    classifier = Classifier(loaded, ClassifySettings(device="cpu", precision="int8"))
    frames = probe_frames(SPEC, 8)
    moved = np.abs(classifier.scores([frames]) - Classifier(plain, FP32).scores([frames])).max()
    assert 0 < moved <= change + 1e-6


def test_another_graph_is_another_spec(exported: Checkpoint) -> None:
    near = int8(exported, 0.004)
    assert near.graph is not None and exported.graph is not None
    files = {**near.graph.info.files, "graph.bin": "0" * 64}
    other = replace(near.graph, info=replace(near.graph.info, files=files))
    assert len({graph.digest for graph in (exported.graph, near.graph, other)}) == 3
    assert openvino_backend.backend_name(near.graph) != openvino_backend.backend_name(other)


def test_all_workers_of_a_job_have_its_backend(exported: Checkpoint) -> None:
    assert exported.graph is not None
    name = openvino_backend.backend_name(exported.graph)
    assert Classifier(exported, replace(AUTO, backend=name)).device == "cpu"
    with pytest.raises(UsageError, match=r"the job openvino 1\.0; install the same OpenVINO on all nodes"):
        Classifier(exported, replace(AUTO, backend="openvino 1.0"))


def test_a_failed_export_into_its_own_folder_leaves_the_checkpoint(
    plain: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artifactscan import storage

    save_checkpoint(plain, str(tmp_path))
    write = storage.write_bytes

    def full(uri: str, data: bytes) -> None:
        if uri.endswith("graph.bin"):
            raise OSError(28, "No space left on device")
        write(uri, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", full)
        assert main(["export", "--checkpoint", str(tmp_path), "--output", str(tmp_path)]) == 3
    assert load_checkpoint(tmp_path).graph is None
    assert load_checkpoint(tmp_path).digest == plain.digest


def test_a_stale_graph_is_exported_again_in_place(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(initialise(SMALL, height=64, width=96, seed=4).weights)
    assert main(["export", "--checkpoint", str(folder), "--output", str(folder)]) == 0
    assert load_checkpoint(folder).graph is not None
