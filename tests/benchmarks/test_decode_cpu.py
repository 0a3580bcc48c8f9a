"""The measure of decoding's CPU seconds: every decoder looks at the same frames, and what is missing is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from decoded import H264
from media import write_clip
from paths import ROOT


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "benchmarks" / "decode_cpu.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_every_decoder_looks_at_the_same_frames(tmp_path: Path) -> None:
    pytest.importorskip("decord", reason="decord has wheels for Linux on x86-64 only")
    write_clip(tmp_path / "clip.mp4", seconds=3, options=H264)
    done = run(tmp_path, "--repeats", 1, "--json", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    [result] = json.loads((tmp_path / "result.json").read_text())["folders"]
    assert (result["files"], result["identical"], result["differing"]) == (1, True, [])
    assert result["frames"] == {"pyav": 6, "pyav_full": 6, "decord": 6}
    assert set(result["median_cpu_s"]) == {"pyav", "pyav_full", "decord"}
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in result["cpu_s"].values())


def test_an_environment_without_torchcodec_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "--torchcodec", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path} has no torchcodec (make media-table installs it)\n"
