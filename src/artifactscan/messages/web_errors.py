"""What errors of HTTP libraries say, without the addresses in them, which hold secrets."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and its causes, including urllib3's ``reason``, outermost first."""
    seen: set[int] = set()
    rest = [error]
    while rest:
        cause = rest.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (*cause.args[:1], getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        rest.extend(one for one in inner if isinstance(one, BaseException))


@contextmanager
def silenced(*names: str) -> Iterator[None]:
    """Silences loggers, such as urllib3's, which logs each try with its address."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
