"""Signals for child processes of tests."""

import signal


def heed_signals() -> None:
    """For ``preexec_fn``: a test suite in the background of a script ignores Ctrl-C, and so would its children."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
