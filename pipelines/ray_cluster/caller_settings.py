"""Leaves the settings of Ray that a program has made as they were."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray.data


@contextmanager
def restored_ray_settings() -> Iterator[None]:
    """Restores Ray Data's context, and the levels of Ray's loggers and their handlers, after the block."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [(one, one.level) for logger in loggers for one in (logger, *logger.handlers)]
    context = ray.data.DataContext.get_current()
    try:
        with ray.data.DataContext.current(context.copy()):
            yield
    finally:
        for one, level in levels:
            one.setLevel(level)
