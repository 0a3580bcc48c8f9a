"""How a job ends: one sentence and a code."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import artifactscan
from artifactscan.cli.exit_codes import failures_exit_code, report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.errors import CutOffError, LedgerError, UsageError
from artifactscan.scoring.settings import ScoreSettings


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("--limit is -1"), 2, "error: --limit is -1\n"),
        (UsageError("file a\nb"), 2, "error: file a\\nb\n"),
        (LedgerError("2 videos"), 3, "error: 2 videos\n"),
        (CutOffError("disk full"), 3, "error: disk full\n"),
        (KeyboardInterrupt(), 3, "error: interrupted; the same command goes on with what is not done yet\n"),
    ],
)
def test_errors_become_a_sentence_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with report_errors() as job_exit:
        raise error
    assert job_exit.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "flags",
    [["--log-format", "json", "--sample-fps", "0"], ["--sample-fps=0", "--log_format=json"], ["--config", "{}"]],
)
def test_with_json_an_error_is_an_object_too(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "score.yaml"
    config.write_text("log-format: json\nsample-fps: 0")
    places, flags = ["--input", "a", "--output", "b"], [flag.format(config) for flag in flags]
    with report_errors() as job_exit:
        parse_settings(ScoreSettings, [*places, *flags], description="Scores.")
    assert job_exit.code == 2
    told = json.loads(capsys.readouterr().err)
    assert (told["level"], told["message"]) == ("error", "--sample-fps is 0.0; give a number above 0")
    assert failures_exit_code(2, 3, 0.5) == 1
    assert json.loads(capsys.readouterr().err)["message"].startswith("2 of 3 videos have no frame scored")
    with report_errors():  # the next one in the process begins anew
        parse_settings(ScoreSettings, [*places, "--sample-fps", "0"], description="Scores.")
    assert capsys.readouterr().err == "error: --sample-fps is 0.0; give a number above 0\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--input", "a", "--outptu", "b"], "flag --outptu is unknown; did you mean --output?"),
        (["--input", "a"], "--output is missing; --help says what to give"),
    ],
)
def test_with_json_a_wrong_flag_is_an_object_too(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with report_errors() as job_exit:
        parse_settings(ScoreSettings, ["--log-format=json", *flags], description="Scores.")
    assert job_exit.code == 2
    told = json.loads(capsys.readouterr().err)
    assert told["level"] == "error"
    assert told["message"] == said


def test_a_closed_output_pipe_ends_the_job_with_exit_code_3() -> None:
    code = """
from artifactscan.cli.exit_codes import report_errors
from artifactscan.messages.console import console
with report_errors() as job_exit:
    for _ in range(100_000):
        console().print("a line of a table")
raise SystemExit(job_exit.code)
"""
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(Path(artifactscan.__file__).parent.parent)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stderr is not None
        job.stdout.readline()
        job.stdout.close()
        said = job.stderr.read()
    assert said == "error: the reader of this output has closed it; the same command does the rest\n"
    assert job.returncode == 3


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with report_errors() as job_exit:
        raise ZeroDivisionError("oh")
    assert job_exit.code == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in said
    assert said.endswith("error: this is a bug in artifactscan; the same command continues the run\n")


def test_sigterm_is_an_interruption() -> None:
    with report_errors() as job_exit:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert job_exit.code == 3


def test_a_code_that_was_set_is_kept() -> None:
    with report_errors() as job_exit:
        job_exit.code = 1
    assert job_exit.code == 1
