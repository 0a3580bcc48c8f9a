"""How a job ends: one sentence and a code."""

import json
import os
import signal
from dataclasses import dataclass
from typing import Literal

import pytest

from artifactscan.cli import parse_settings, report_errors
from artifactscan.errors import CutOffError, LedgerError, UsageError


@dataclass(frozen=True)
class Told:
    log_format: Literal["text", "json"] = "text"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("--limit is -1"), 2, "error: --limit is -1\n"),
        (UsageError("file a\nb"), 2, "error: file a\\nb\n"),
        (LedgerError("2 videos"), 3, "error: 2 videos\n"),
        (CutOffError("disk full"), 3, "error: disk full\n"),
        (KeyboardInterrupt(), 3, "error: interrupted; the same command continues where this one stopped\n"),
    ],
)
def test_errors_become_a_sentence_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with report_errors() as ended:
        raise error
    assert ended.code == code
    assert capsys.readouterr().err == said


def test_with_json_an_error_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    with report_errors() as ended:
        parse_settings(Told, ["--log-format", "json"], description="Tells.")
        raise UsageError("--limit is -1")
    assert ended.code == 2
    told = json.loads(capsys.readouterr().err)
    assert (told["level"], told["message"]) == ("error", "--limit is -1")
    with report_errors():  # the next one in the process begins anew
        raise UsageError("--limit is -1")
    assert capsys.readouterr().err == "error: --limit is -1\n"


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with report_errors() as ended:
        raise ZeroDivisionError("oh")
    assert ended.code == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in said
    assert said.endswith("error: this is a bug in artifactscan; the same command continues the run\n")


def test_sigterm_is_an_interruption() -> None:
    with report_errors() as ended:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert ended.code == 3


def test_a_code_that_was_set_is_kept() -> None:
    with report_errors() as ended:
        ended.code = 1
    assert ended.code == 1
