"""The command `artifactscan`: its subcommands, and what a mistake gets."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from limits import without_privileges
from paths import ROOT

import artifactscan
from artifactscan.__main__ import COMMANDS, JOBS, main


def test_every_job_is_a_subcommand() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py") if not path.stem.startswith("_")}
    assert files == set(JOBS)


def test_help_lists_each_command_with_the_first_line_of_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main([]) == 0
    said = capsys.readouterr().out
    assert "  score       Scores a corpus of videos for the four artifact labels.\n" in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")][: len(COMMANDS)] == list(COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"artifactscan {artifactscan.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scroe"], "command scroe is unknown; did you mean score?"),
        (["x"], f"command x is unknown; known are {', '.join(COMMANDS)}"),
        (["labels", "imprt"], "command imprt is unknown; did you mean import?"),
        (["checkpoint", "new"], "command new is unknown; known are init"),
        (["completion", "fish"], "shell fish is unknown; known are bash, zsh, tcsh"),
        (["score", "--inptu", "x"], "flag --inptu is unknown; did you mean --input?"),
        (["labels", "import", "--form", "csv"], "flag --form is unknown; did you mean --from?"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_nearest_name(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["artifactscan"])
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_a_job_has_the_same_flags_under_either_name() -> None:
    helps = []
    for command in (["-m", "artifactscan", "score"], [str(ROOT / "jobs" / "score.py")]):
        done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, env=_environment())
        assert done.returncode == 0, done.stderr
        usage, _, rest = done.stdout.partition("\n")
        helps.append(rest)
        assert usage.startswith("usage: artifactscan score " if "-m" in command else "usage: ")
    assert helps[0] == helps[1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_and_flags() -> None:
    script = subprocess.run(
        [sys.executable, "-m", "artifactscan", "completion", "bash"], capture_output=True, text=True, env=_environment()
    ).stdout
    asked = f"""{script}
complete_words() {{ COMP_WORDS=(artifactscan "$@"); COMP_CWORD=$#; _tyro_artifactscan; echo "${{COMPREPLY[@]}}"; }}
complete_words fin; complete_words score --sampl; complete_words labels agr
"""
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == ["finetune", "--sample-fps", "agree"]


@pytest.mark.parametrize("arguments", [["score", "--input", "clips", "--output", "scores"], ["demo"]])
def test_a_folder_without_write_permission_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["artifactscan"])
    for module in ("jobs.demo", "jobs.score", "demo.clips", "pipelines.score.run"):
        import_module(f"artifactscan.{module}")  # while this process may read everything
    with without_privileges() as folder:
        folder.chmod(0o500)
        monkeypatch.chdir(folder)
        assert main(arguments) == 2
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "Permission denied" in said


def test_an_older_python_is_one_sentence() -> None:
    older = next(filter(None, map(shutil.which, ("python3.10", "python3.9", "python3.8"))), None)
    if older is None or subprocess.run([older, "--version"], capture_output=True).returncode:
        pytest.skip("no Python before 3.11 is installed")
    done = subprocess.run([older, "-m", "artifactscan", "score"], capture_output=True, text=True, env=_environment())
    assert done.returncode == 2
    assert done.stderr.startswith("error: artifactscan needs Python 3.11 or newer, this is 3.")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", "HOME": str(Path.home())}
