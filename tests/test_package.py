"""The wheel carries everything that runs, and nothing at the top level but artifactscan."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from media import write_clip
from paths import ROOT

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked, made from the files that git tracks."""
    checkout, unpacked = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = subprocess.run(["tar", "--null", "-T-", "-cf-"], cwd=ROOT, input=tracked, capture_output=True, check=True)
    subprocess.run(["tar", "-xf-"], cwd=checkout, input=archive.stdout, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(checkout / "dist"), "."]
    subprocess.run(command, cwd=checkout, check=True)
    (made,) = (checkout / "dist").glob("artifactscan-*.whl")
    with zipfile.ZipFile(made) as archived:
        archived.extractall(unpacked)
    return unpacked


def test_it_has_every_module_and_data_file_of_the_checkout(wheel: Path) -> None:
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == {"artifactscan"}
    tracked = subprocess.run(
        ["git", "ls-files", "src", "pipelines", "jobs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        path = ROOT / name
        if path.is_symlink() or not path.exists():
            continue
        inside = name.removeprefix("src/") if name.startswith("src/") else f"artifactscan/{name}"
        assert (wheel / inside).is_file(), name


def test_its_command_scores_a_folder_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "one.mp4", seconds=2)
    env = {**os.environ, "PYTHONPATH": str(wheel)}
    script = "import artifactscan; print(artifactscan.__file__); print(artifactscan.score('clips', quiet=True))"
    command = ["-m", "artifactscan", "score", "--input", "clips", "--output", "scores", "--quiet"]
    for arguments in (command, ["-c", script]):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    path, summary = done.stdout.split("\n", 1)
    assert Path(path).is_relative_to(wheel)
    assert summary.startswith("Scores of 1 video (1 scored), 4 frames\n")
    assert list((tmp_path / "scores" / "frames").rglob("*.parquet"))
