"""The command, end to end: clips that decode as the tables say, and one sentence for what cannot be done."""

import csv
import ctypes
import json
import mmap
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from media import damage, write_clip
from paths import ROOT

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav
from artifactscan.errors import CutOffError
from artifactscan.jobs.synthesise import main
from artifactscan.labels import LABELS
from artifactscan.storage import lease
from artifactscan.synthesis.artifact import CLIP_VARIANTS, SCENE_VARIANTS
from artifactscan.synthesis.corpus import (
    BOX_COLUMNS,
    LABEL_COLUMNS,
    SynthesisSettings,
    _is_clean,
    _plan,
    make_clip,
    write_corpus,
)
from artifactscan.synthesis.footage import read_stretch, write_video

SMALL = ["--height", "64", "--width", "96", "--seconds", "1.5", "--fps", "12"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def decoded(path: Path, sample_fps: float = 2.0, height: int = 64, width: int = 96) -> dict[int, np.ndarray]:
    frames: dict[int, np.ndarray] = {}
    settings = DecodeSettings(input=InputSpec(height=height, width=width), sample_fps=sample_fps)
    decode_pyav(str(path), settings, lambda index, _pts_s, pixels: frames.update({index: pixels}))
    return frames


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "deep" / "corpus"
    assert main(["--output", str(folder), "--count", "8", "--seed", "1", *SMALL]) == 0
    return folder


def test_the_tables_have_their_columns_and_name_their_files(corpus: Path) -> None:
    labels, boxes = read(corpus / "labels.csv"), read(corpus / "boxes.csv")
    assert tuple(labels[0]) == LABEL_COLUMNS == ("file", "frame_index", *LABELS, "note")
    assert tuple(boxes[0]) == BOX_COLUMNS
    files = [f"clips/{number:05d}.mp4" for number in range(8)]
    assert sorted({row["file"] for row in labels}) == files
    assert sorted(path.relative_to(corpus).as_posix() for path in (corpus / "clips").iterdir()) == files


def test_there_is_one_row_per_sampled_frame(corpus: Path) -> None:
    rows = read(corpus / "labels.csv")
    for file in {row["file"] for row in rows}:
        indices = [int(row["frame_index"]) for row in rows if row["file"] == file]
        assert indices == list(decoded(corpus / file)) == [0, 6, 12]


def test_labels_boxes_and_notes_agree(corpus: Path) -> None:
    boxes = read(corpus / "boxes.csv")
    for row in read(corpus / "labels.csv"):
        here = [box for box in boxes if (box["file"], box["frame_index"]) == (row["file"], row["frame_index"])]
        assert {box["label"] for box in here} == {label for label in LABELS if row[label] == "1"}
        assert row["note"] == "; ".join(f"{box['label']} {box['variant']} {box['strength']}" for box in here)
    assert {box["label"] for box in boxes} == set(LABELS)
    assert all(0.4 <= float(box["strength"]) <= 1 for box in boxes)


def test_a_quarter_is_clean(corpus: Path) -> None:
    broken = {box["file"] for box in read(corpus / "boxes.csv")}
    assert len(broken) == 6


def test_coding_hides_no_artifact(corpus: Path) -> None:
    settings = SynthesisSettings(output="", count=8, seed=1, height=64, width=96, seconds=1.5, fps=12)
    clips, fps = make_clip(settings, [], 6)
    (clip,) = clips.values()
    frames = decoded(corpus / "clips" / "00006.mp4", sample_fps=12)
    assert fps == 12 and len(frames) == len(clip.frames) == 18
    assert np.abs(np.stack(list(frames.values())).astype(int) - clip.frames).mean() < 4


def test_the_same_seed_writes_the_same_bytes_and_a_longer_corpus_begins_alike(corpus: Path, tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), "--count", "2", "--seed", "1", *SMALL]) == 0
    for name in ("00000.mp4", "00001.mp4"):
        assert (tmp_path / "clips" / name).read_bytes() == (corpus / "clips" / name).read_bytes()
    assert read(tmp_path / "labels.csv") == read(corpus / "labels.csv")[:6]
    assert main(["--output", str(tmp_path / "other"), "--count", "1", "--seed", "2", *SMALL]) == 0
    assert (tmp_path / "other/clips/00000.mp4").read_bytes() != (corpus / "clips/00000.mp4").read_bytes()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="MMX registers are x86's")
def test_registers_that_a_codec_left_in_use_change_no_clip(corpus: Path, tmp_path: Path) -> None:
    """MMX instructions without a following EMMS let the next x87 ones compute NaN, among them those of C's fmod."""
    with machine_code(b"\x0f\xef\xc0\xc3") as use_mmx, machine_code(b"\x0f\x77\xc3") as leave_mmx:
        settings = SynthesisSettings(output="", count=8, seed=1, height=64, width=96, seconds=1.5, fps=12)
        try:
            for number in range(8):
                use_mmx()
                clips, fps = make_clip(settings, [], number)
                use_mmx()
                write_video(tmp_path / "clip.mp4", clips[f"{number:05d}"].frames, fps)
                assert (tmp_path / "clip.mp4").read_bytes() == (corpus / f"clips/{number:05d}.mp4").read_bytes()
        finally:
            leave_mmx()


@contextmanager
def machine_code(instructions: bytes) -> Iterator[Callable[[], None]]:
    """A function without arguments, from its machine code."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(instructions)
    first = ctypes.c_char.from_buffer(memory)
    yield ctypes.CFUNCTYPE(None)(ctypes.addressof(first))
    del first


def test_memory_that_was_used_before_changes_no_clip(corpus: Path, tmp_path: Path) -> None:
    """What is allocated and freed is filled, and large blocks are reused, too, instead of fresh zeros each time."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "MALLOC_PERTURB_": "85", "MALLOC_MMAP_MAX_": "0"}
    command = [sys.executable, "-m", "artifactscan", "synthesise", "--output", str(tmp_path), "--count", "2"]
    subprocess.run([*command, "--seed", "1", *SMALL], check=True, env=env, capture_output=True)
    for name in ("00000.mp4", "00001.mp4"):
        assert (tmp_path / "clips" / name).read_bytes() == (corpus / "clips" / name).read_bytes()


def test_twins_show_the_same_but_for_the_artifact(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), "--count", "2", "--pairs", *SMALL]) == 0
    rows = read(tmp_path / "labels.csv")
    assert [path.name for path in sorted((tmp_path / "clips").iterdir())] == [
        *("00000_clean.mp4", "00000_defect.mp4", "00001_clean.mp4", "00001_defect.mp4")
    ]
    for number in range(2):
        clean, defect = (decoded(tmp_path / f"clips/{number:05d}_{twin}.mp4", 12) for twin in ("clean", "defect"))
        wrong = {int(box["frame_index"]) for box in read(tmp_path / "boxes.csv") if f"{number:05d}_d" in box["file"]}
        assert 4 <= len(wrong) < len(clean)
        differences = {index: np.abs(clean[index].astype(int) - defect[index]).max() for index in clean}
        assert max(differences[index] for index in wrong) > 40
        assert max(differences[index] for index in clean if index not in wrong) < 25, "no more than coding does"
    assert not any(row[label] == "1" for row in rows if "_clean" in row["file"] for label in LABELS)
    assert any(row[label] == "1" for row in rows if "_defect" in row["file"] for label in LABELS)


def test_real_clips_keep_their_shape_and_rate(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "a.mp4", width=160, height=96, fps=10, seconds=3)
    write_clip(tmp_path / "in" / "b.mkv", width=96, height=160, fps=30, seconds=3)
    command = ["--output", str(tmp_path / "out"), "--count", "4", "--clips", str(tmp_path / "in"), "--clean-share", "0"]
    assert main([*command, *SMALL]) == 0
    labels = {row["file"]: row for row in read(tmp_path / "out" / "labels.csv")}
    assert list(labels) == [f"clips/{number:05d}.mp4" for number in range(4)]
    settings = DecodeSettings(input=InputSpec(height=8, width=8))
    facts = [decode_pyav(str(tmp_path / "out" / file), settings, lambda *_: None) for file in labels]
    assert [(fact.width, fact.height, fact.fps) for fact in facts] == [(96, 58, 10), (38, 64, 12)] * 2
    assert {box["label"] for box in read(tmp_path / "out" / "boxes.csv")} == set(LABELS)


def test_a_stretch_shows_frames_of_the_clip_in_order(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "clip.mp4", width=64, height=48, fps=24, seconds=4))
    frames, fps = read_stretch(path, height=480, width=640, seconds=1, fps=24, rng=np.random.default_rng(3))
    assert frames.shape == (24, 48, 64, 3) and fps == 24
    whole = np.stack(list(decoded(Path(path), 24, 48, 64).values()))
    begins = [start for start in range(73) if (whole[start : start + 24] == frames).all()]
    assert len(begins) == 1 and begins[0] > 0


def test_every_variant_has_its_turn() -> None:
    for clips, variants in ((None, SCENE_VARIANTS), ("footage", CLIP_VARIANTS)):
        settings = SynthesisSettings(output="", count=1, clips=clips, clean_share=0.25)
        first = [
            _plan(settings, number, 24, variants, np.random.default_rng(number))[0]
            for number in range(24)
            if not _is_clean(number, 0.25)
        ]
        assert {(a.label, a.variant) for a in first} >= {(label, v) for label, vs in variants.items() for v in vs}
        assert [a.label for a in first[:8]] == [*LABELS, *LABELS]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--count", "-3"], "--count is -3; give 1 or more"),
        (["--seed", "-1"], "--seed is -1; give 0 or more"),
        (["--height", "63"], "--height is 63; give an even number of pixels from 32 on"),
        (["--fps", "0"], "--fps is 0.0; give more than 0"),
        (
            ["--seconds", "0.1"],
            "--seconds 0.1 at --fps 24.0 makes 2 frames, but an artifact needs 4; give more of either",
        ),
        (["--clean-share", "2"], "--clean-share is 2.0; give 0 to 1"),
        (["--min-strength", "0.9", "--max-strength", "0.5"], "--min-strength 0.9 and --max-strength 0.5 must be above"),
        (["--labels", "motion", "blur"], "--labels names blur; choose from boundary, texture, motion, object"),
        (["--clips", "{tmp}/nowhere"], "nowhere"),
        (["--clips", "{tmp}/text.mp4"], "clip {tmp}/text.mp4 cannot be read: not a readable video file: invalid data"),
        (["--clips", "{tmp}/empty"], "input {tmp}/empty holds no videos: it is empty"),
        (["--clips", "{tmp}/short.mp4", "--clean-share", "0"], "short.mp4 has 2 frames, but an artifact needs 4; take"),
        (["--clips", "s3://bucket/clips"], "--clips s3://bucket/clips is not a local folder; copy the clips to one"),
        (
            ["--output", "{tmp}/text.mp4/below"],
            "output {tmp}/text.mp4/below cannot be written: {tmp}/text.mp4 is not a",
        ),
        (["--output", "s3://bucket/out"], "--output s3://bucket/out is not a local folder; write to one and copy it"),
        (["--output", "{tmp}/done"], "--output {tmp}/done holds labels.csv already; give a new folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "labels.csv").write_text("kept")
    write_clip(tmp_path / "short.mp4", seconds=2 / 24)
    flags = [flag.replace("{tmp}", str(tmp_path)) for flag in flags]
    command = ["--output", str(tmp_path / "out"), "--count", "1", *flags]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said.replace("{tmp}", str(tmp_path)) in error
    assert not (tmp_path / "out" / "labels.csv").exists()
    assert (tmp_path / "done" / "labels.csv").read_text() == "kept"


@pytest.mark.parametrize("done", [1, 2])
def test_nothing_is_written_once_another_process_has_taken_over(
    done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another clip, where the last renewal was long ago, nor the tables."""
    settings = SynthesisSettings(output=str(tmp_path), count=2, height=64, width=96, seconds=1)
    writing = write_corpus(settings)
    for _ in range(done):
        next(writing)
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"token": "another's"}))
    if done < settings.count:
        monkeypatch.setattr(lease, "RENEW_S", 0.0)
    with pytest.raises(CutOffError, match="another process has taken over the lease"):
        next(writing)
    assert len(list(tmp_path.rglob("*.mp4"))) == done
    assert not list(tmp_path.glob("*.csv"))


def test_a_full_disk_leaves_no_labels_and_no_half_clip(tmp_path: Path) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("prlimit is not here to limit the size of files")
    # A limit on file size stops the writing of the second kilobyte as a full disk would.
    command = ["--output", str(tmp_path), "--count", "1", *SMALL]
    limited = ["prlimit", "--fsize=8192", sys.executable, "-c", _IGNORE_SIGXFSZ, *command]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(limited, capture_output=True, text=True, check=False, env=env)
    assert ended.returncode == 2, ended.stderr
    assert f"error: --output {tmp_path} cannot be written: " in ended.stderr
    assert not list(tmp_path.rglob("*.csv")) and not list(tmp_path.rglob("*.mp4"))


_IGNORE_SIGXFSZ = """
import signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from artifactscan.jobs.synthesise import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_damaged_clip_gives_what_is_left_of_it(tmp_path: Path) -> None:
    path = damage(write_clip(tmp_path / "clip.mp4", seconds=4, options={"g": "12"}), at=0.6, size=1500)
    frames, _ = read_stretch(str(path), height=96, width=160, seconds=10, fps=24, rng=np.random.default_rng(0))
    assert 40 < len(frames) < 96
