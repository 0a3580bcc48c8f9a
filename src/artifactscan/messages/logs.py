"""Structured logs: one JSON object per line, with the run and, where it concerns one, the video."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

ROOT_LOGGER = "artifactscan"
_OWN = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes time (UTC), level, logger, message, run, and the call's ``extra``, such as video_id and uri."""

    def __init__(self, run: str):
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "run": self._run,
            "message": record.getMessage(),
            # Ray adds its own fields, whose names begin with an underscore.
            **{name: value for name, value in vars(record).items() if name not in _OWN and not name.startswith("_")},
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def log_json(run: str, stream: TextIO) -> logging.Logger:
    """Makes the logger ``artifactscan`` and all below it write JSON to ``stream``; returns that logger."""
    logger = logging.getLogger(ROOT_LOGGER)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(run))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def log_plainly() -> None:
    """Undoes ``log_json``."""
    logger = logging.getLogger(ROOT_LOGGER)
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler.formatter, JsonFormatter)]
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def logs_json() -> bool:
    """Whether ``log_json`` is in effect in this process."""
    return any(isinstance(one.formatter, JsonFormatter) for one in logging.getLogger(ROOT_LOGGER).handlers)


def actor_log(run: str) -> logging.Logger:
    """The log of an actor: JSON on its stderr, which Ray writes to a file on each node (worker-*.err)."""
    return log_json(run, sys.stderr)
