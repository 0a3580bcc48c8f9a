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
from artifactscan.jobs import labels


def test_every_job_is_a_subcommand() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py") if not path.stem.startswith("_")}
    assert files == set(JOBS)


def test_help_lists_each_command_with_the_first_line_of_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main([]) == 0
    said = capsys.readouterr().out
    assert "  score       Scores a corpus of videos for the four artifact labels.\n" in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")][: len(COMMANDS)] == list(COMMANDS)


@pytest.mark.parametrize("argument", ["--version", "version", "-V"])
def test_version(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert capsys.readouterr().out == f"artifactscan {artifactscan.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scroe"], "command scroe is unknown; did you mean score?"),
        (["x"], f"command x is unknown; known are {', '.join(COMMANDS)}"),
        (["labels", "imprt"], "command imprt is unknown; did you mean import?"),
        (["checkpoint", "new"], "command new is unknown; known are init, export, push"),
        (["labels"], f"no command is given; give one of {', '.join(labels.SETTINGS)}"),
        (["checkpoint"], "no command is given; give one of init, export, push"),
        (["completion"], "no shell is given; give one of bash, zsh"),
        (["completion", "tcsh"], "shell tcsh is unknown; known are bash, zsh"),
        (["--verison"], "flag --verison is unknown; did you mean --version?"),
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
complete_words fin; complete_words score --sampl; complete_words labels agr; complete_words comple
complete_words score --conf; complete_words labels import --conf; complete_words completion z
"""
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == ["finetune", "--sample-fps", "agree", "completion", "--config", "--config", "zsh"]


@pytest.mark.parametrize("arguments", [["score", "--input", "clips", "--output", "scores"], ["demo"]])
def test_a_folder_without_write_permission_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["artifactscan"])
    for module in ("jobs.demo", "jobs.score", "demo.clips", "pipelines.score.run"):
        import_module(f"artifactscan.{module}")  # while this process may read everything
    with without_privileges() as folder:
        (folder / "clips").mkdir()
        (folder / "clips" / "one.mp4").touch()
        folder.chmod(0o500)
        monkeypatch.chdir(folder)
        assert main(arguments) == 2
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "Permission denied" in said


OLDER = """import sys
sys.version, sys.version_info = "3.10.9 (main)", (3, 10, 9, "final", 0)
"""


@pytest.mark.parametrize("command", [["-m", "artifactscan", "score"], [str(ROOT / "jobs" / "score.py")]])
def test_a_command_under_an_older_python_is_one_sentence(command: list[str], tmp_path: Path) -> None:
    done = _run_as_older_python(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: artifactscan needs Python 3.11 or newer, this is 3.10.9\n"


def test_an_import_under_an_older_python_is_an_import_error(tmp_path: Path) -> None:
    script = "try:\n import artifactscan\nexcept ImportError as error:\n print(error)"
    done = _run_as_older_python(["-c", script], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "artifactscan needs Python 3.11 or newer, this is 3.10.9\n"


@pytest.mark.parametrize("how", ["-P", "PYTHONSAFEPATH"])
def test_a_script_runs_where_python_does_not_look_beside_it(how: str) -> None:
    flags = [how] if how == "-P" else []
    done = subprocess.run(
        [sys.executable, *flags, str(ROOT / "jobs" / "labels.py"), "--help"],
        capture_output=True,
        text=True,
        env=_environment() | ({} if flags else {how: "1"}),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Brings labels back")


def _run_as_older_python(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(OLDER)
    environment = _environment()
    environment["PYTHONPATH"] = f"{folder}{os.pathsep}{environment['PYTHONPATH']}"
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", "HOME": str(Path.home())}
