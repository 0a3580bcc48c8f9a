"""The console that results are printed to."""

from rich.console import Console

_LOG_WIDTH = 110


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the error to the job: rich would exit with 1, which has another meaning here."""
        raise  # noqa: PLE0704 - called while BrokenPipeError is handled


def console(*, stderr: bool = False) -> Console:
    """A console for results, as wide as the terminal, or wide enough for the tables where there is no terminal.

    Printing raises BrokenPipeError when the reader has closed the pipe.
    """
    terminal = _Console(highlight=False, stderr=stderr)
    return terminal if terminal.is_terminal else _Console(highlight=False, stderr=stderr, width=_LOG_WIDTH)
