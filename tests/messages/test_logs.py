"""Structured logs: one JSON object per line."""

import io
import json
import logging
from datetime import datetime

import pytest

from artifactscan.messages import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged as JSON; the logger is put back as it was."""
    logger = logging.getLogger(logs.ROOT_LOGGER)
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    stream = io.StringIO()
    logs.log_json("run1", stream)
    return stream


def test_a_line_has_the_run_and_the_extra_fields_of_the_call(lines: io.StringIO) -> None:
    log = logging.getLogger("artifactscan.decode.reader")
    log.info("no %s could be\ndecoded", "frame", extra={"video_id": "ab", "uri": "s3://b/ä.mp4", "_ray": 1})
    log.debug("not this one")
    [line] = lines.getvalue().splitlines()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    assert entry == {
        "level": "info",
        "logger": "artifactscan.decode.reader",
        "run": "run1",
        "message": "no frame could be\ndecoded",
        "video_id": "ab",
        "uri": "s3://b/ä.mp4",
    }


def test_an_error_comes_with_its_traceback_on_the_same_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("artifactscan").exception("it failed")
    [line] = lines.getvalue().splitlines()
    assert json.loads(line)["error"].endswith("ValueError: broken")
