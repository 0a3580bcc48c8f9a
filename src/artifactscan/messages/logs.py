"""Structured logs: one JSON object a line, with the run and, where it is about one, the video."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

ROOT_LOGGER = "artifactscan"
_OWN = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """time (UTC), level, logger, message, run, and whatever ``extra`` a call gives, such as video_id and uri."""

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
            # Ray adds fields of its own with an underscore.
            **{name: value for name, value in vars(record).items() if name not in _OWN and not name.startswith("_")},
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def log_json(run: str, stream: TextIO) -> logging.Logger:
    """Has everything below ``artifactscan`` log to ``stream`` as JSON from now on; returns that logger."""
    logger = logging.getLogger(ROOT_LOGGER)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(run))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def log_plainly() -> None:
    """Takes back what ``log_json`` did."""
    logger = logging.getLogger(ROOT_LOGGER)
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler.formatter, JsonFormatter)]
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def logs_json() -> bool:
    """Whether ``log_json`` has been called here."""
    return any(isinstance(one.formatter, JsonFormatter) for one in logging.getLogger(ROOT_LOGGER).handlers)


def actor_log(run: str) -> logging.Logger:
    """The log of an actor: its stderr, which Ray keeps in a file of its own on each node (worker-*.err)."""
    return log_json(run, sys.stderr)
