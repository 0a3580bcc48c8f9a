"""Naming what a job does while it says nothing else."""

import io
import json
import os
import re
import sys
import time

import pytest

from artifactscan.messages import activity as module
from artifactscan.messages.activity import activity
from artifactscan.messages.logs import log_json, log_plainly


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.01)


def said_in(stream: io.StringIO, seconds: float, monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with activity("starting Ray", quiet):
        time.sleep(seconds)
    return stream.getvalue()


def test_a_terminal_line_is_rewritten_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_in(Terminal(), 0.2, monkeypatch)
    assert re.fullmatch(r"(\r\x1b\[2Kstarting Ray, \d+ s){2,}\r\x1b\[2K", said)


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_in(io.StringIO(), 0.2, monkeypatch) == "starting Ray, 0 s\n"
    monkeypatch.setattr(module, "REPEAT_S", 0.02)
    assert said_in(io.StringIO(), 0.2, monkeypatch).count("starting Ray, 0 s\n") > 2


def test_a_json_log_gets_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    log_json("run1", stream := io.StringIO())
    try:
        assert said_in(io.StringIO(), 0.2, monkeypatch) == ""
    finally:
        log_plainly()
    assert json.loads(stream.getvalue())["message"] == "starting Ray, 0 s"


@pytest.mark.parametrize(("seconds", "quiet"), [(0.0, False), (0.1, True)])
def test_what_is_quick_or_quiet_says_nothing(seconds: float, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not quiet:
        monkeypatch.setattr(module, "SILENT_S", 5.0)
    assert said_in(Terminal(), seconds, monkeypatch, quiet=quiet) == ""


def test_it_is_told_while_stderr_leads_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    """As it does while Ray starts, whose own messages are not wanted."""
    with activity("starting Ray"):
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        time.sleep(0.2)
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    assert capfd.readouterr().err == "starting Ray, 0 s\n"
