"""Wrong inputs end with 2 and leave no folder; an output that is its input, lies in it or holds it is refused."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from media import write_clip

LABELS = "file,frame_index,boundary,texture,motion,object\n"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("clips", "empty", "texts", "damaged"):
        (folder / name).mkdir()
    write_clip(folder / "clips" / "a.mp4")
    (folder / "texts" / "notes.txt").write_text("notes")
    (folder / "damaged" / "a.mp4").write_text("no video")
    (folder / "gap.csv").write_text("uri,size_bytes\nclips/a.mp4,\n,5\n")
    (folder / "few.csv").write_text("file,frame_index\na.mp4,0\n")
    (folder / "labels.csv").write_text(f"{LABELS}a.mp4,0,0,1,0,0\n")
    (folder / "policy.yaml").write_text("nonsense: 1\n")
    return folder


SCORE, EXTRACT = ("score", "--output", "OUT", "--input"), ("extract", "--output", "OUT", "--input")
AUDIT = ("audit", "--store", "OUT", "--corpus")
EVALUATE = ("evaluate", "--output", "OUT", "--clips", "clips", "--checkpoint")
FINETUNE = ("finetune", "--output", "OUT", "--clips", "clips", "--labels")


@pytest.mark.parametrize(
    "command",
    [
        *((*job, name) for job in (SCORE, EXTRACT, AUDIT) for name in ("gone", "empty", "texts", "few.csv", "gap.csv")),
        (*SCORE, "clips", "--checkpoint", "gone"),
        (*SCORE, "clips", "--include", "*.webm"),
        (*EXTRACT, "clips", "--labels", "few.csv"),
        (*AUDIT, "clips", "--policy", "policy.yaml"),
        (*AUDIT, "clips", "--groups", "{a}/{b}/{c}"),
        (*AUDIT, "clips", "--checkpoint", "gone"),
        (*AUDIT, "clips", "--metadata", "few.csv"),
        (*AUDIT, "clips", "--human-labels", "few.csv"),
        (*AUDIT, "clips", "--baseline", "none"),
        (*EVALUATE, "gone", "--labels", "labels.csv"),
        (*EVALUATE, "builtin", "--labels", "few.csv"),
        (*EVALUATE, "builtin", "--labels", "labels.csv", "--protocol", "generators"),
        (*FINETUNE, "few.csv"),
        (*FINETUNE, "labels.csv"),
        ("explain", "--output", "OUT", "--video", "gone.mp4"),
        ("explain", "--output", "OUT", "--video", "damaged/a.mp4"),
        ("judge", "--output", "OUT", "--index", "gone.parquet", "--endpoint", "http://127.0.0.1:9", "--model", "m"),
        ("synthesise", "--output", "OUT", "--count", "1", "--clips", "gone"),
        ("synthesise", "--output", "OUT", "--count", "1", "--clips", "damaged"),
        ("labels", "clean", "--output", "OUT/labels.csv", "--input", "damaged"),
        ("report", "--store", "OUT"),
    ],
    ids=" ".join,
)
def test_wrong_inputs_leave_no_folder(
    inputs: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(inputs)
    job, *flags = (part.replace("OUT", "new/out") for part in command)
    assert import_module(f"artifactscan.jobs.{job}").main(flags) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not (inputs / "new").exists()


@pytest.mark.parametrize(
    "command",
    [
        (*SCORE, "clips"),
        (*AUDIT, "clips", "--canary-clips", "4"),
        (*EXTRACT, "clips", "--count", "1"),
        (*EXTRACT, "clips", "--count", "1", "--choose", "uncertain", "--checkpoint", "builtin"),
        (*EVALUATE, "builtin", "--labels", "labels.csv"),
    ],
    ids=" ".join,
)
def test_what_is_refused_once_the_cluster_is_known_leaves_no_folder(
    ray_here: None,
    inputs: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    job, *flags = (part.replace("OUT", "new/out") for part in command)
    assert import_module(f"artifactscan.jobs.{job}").main([*flags, "--decode-actors", "100000"]) == 2
    assert "--decode-actors is 100000" in capsys.readouterr().err.splitlines()[-1]
    assert not (inputs / "new").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("finetune", "--labels", "clips/labels.csv", "--output", "clips"),
        ("finetune", "--labels", "labels.csv", "--clips", "clips", "--output", "clips"),
        ("finetune", "--labels", "labels.csv", "--clips", "clips", "--init", "weights", "--output", "weights"),
        ("evaluate", "--labels", "labels.csv", "--clips", "clips", "--checkpoint", "builtin", "--output", "clips"),
        ("evaluate", "--labels", "labels.csv", "--clips", "clips", "--checkpoint", "model", "--output", "./model/"),
        ("evaluate", "--labels", "labels.csv", "--clips", "clips", "--checkpoint", "model", "--output", "labels.csv"),
        ("explain", "--video", "clips/a.mp4", "--output", "clips/a.mp4"),
        ("explain", "--video", "clips/a.mp4", "--checkpoint", "model", "--output", "model"),
        ("labels", "clean", "--input", "clips/a.mp4", "--output", "clips/a.mp4"),
    ],
    ids=" ".join,
)
def test_an_output_that_is_an_input_is_refused(
    inputs: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(inputs)
    before = sorted(inputs.rglob("*"))
    assert import_module(f"artifactscan.jobs.{command[0]}").main(list(command[1:])) == 2
    assert capsys.readouterr().err.strip().endswith("are one place; give the output a place of its own")
    assert sorted(inputs.rglob("*")) == before


@pytest.mark.parametrize("output", ["clips", "clips/out", "."])
@pytest.mark.parametrize(
    "command",
    [
        ("score", "--input", "clips", "--output"),
        ("extract", "--input", "clips", "--output"),
        ("audit", "--corpus", "clips", "--store"),
        ("synthesise", "--count", "1", "--clips", "clips", "--output"),
    ],
    ids=lambda command: command[0],
)
def test_an_output_that_is_not_apart_from_its_input_is_refused(
    inputs: Path,
    command: tuple[str, ...],
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    before = sorted(inputs.rglob("*"))
    job, *flags = command
    assert import_module(f"artifactscan.jobs.{job}").main([*flags, output]) == 2
    assert re.search(r"give (the output|the store|it) a place (of its own|elsewhere)$", capsys.readouterr().err.strip())
    assert sorted(inputs.rglob("*")) == before
