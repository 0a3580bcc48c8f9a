"""How a job ends: one sentence on stderr and an exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from artifactscan.cli.interruption import INTERRUPTED, StopSignals
from artifactscan.errors import CutOffError, LedgerError, UsageError
from artifactscan.messages.logs import ROOT_LOGGER, log_plainly, logs_json
from artifactscan.messages.text import printable, without_credentials

EXIT_OK, EXIT_TOO_MANY_FAILED, EXIT_USAGE, EXIT_LEDGER = 0, 1, 2, 3


@dataclass
class JobExit:
    """The exit code that a job is going to end with."""

    code: int = EXIT_LEDGER


@contextmanager
def report_errors() -> Iterator[JobExit]:
    """Yields a JobExit; an exception becomes one sentence on stderr and an exit code in it.

    SIGTERM is handled like Ctrl-C, so that a scheduler's stop leaves the same store; a second one of either does not
    disturb the stopping.
    """
    job_exit = JobExit()
    log_plainly()
    with StopSignals() as signals:
        try:
            yield job_exit
        except UsageError as error:
            job_exit.code = fail(str(error), EXIT_USAGE)
        except (LedgerError, CutOffError) as error:
            job_exit.code = fail(str(error), EXIT_LEDGER)
        except BrokenPipeError:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - Python flushes stdout at exit
            job_exit.code = fail("the reader of this output has closed it; the same command does the rest", EXIT_LEDGER)
        except KeyboardInterrupt:
            job_exit.code = fail(INTERRUPTED, EXIT_LEDGER)
        except Exception:  # a bug: the traceback is wanted, and Python's own exit code 1 means something else here
            if logs_json():
                logging.getLogger(ROOT_LOGGER).exception("bug")
            else:
                traceback.print_exc()
            job_exit.code = fail("this is a bug in artifactscan; the same command continues the run", EXIT_LEDGER)
        signals.code = job_exit.code


def failures_exit_code(
    failed: int, listed: int, max_failed: float, what: str = "have no frame scored", *, units: str = "videos"
) -> int:
    """EXIT_TOO_MANY_FAILED, with a line on stderr, where more than the share ``max_failed`` of ``listed`` failed."""
    if failed <= max_failed * listed:
        return EXIT_OK
    _print_error(
        f"{failed:,} of {listed:,} {units} {what}, more than --max-failed {max_failed:g} allows", prefix="failed: "
    )
    return EXIT_TOO_MANY_FAILED


def fail(message: str, code: int) -> int:
    """Prints on stderr why a job ends early; returns ``code``."""
    _print_error(message, prefix="error: ")
    return code


def _print_error(message: str, *, prefix: str = "") -> None:
    message = without_credentials(message)  # messages quote flags and endpoint URLs
    if logs_json():
        logging.getLogger(ROOT_LOGGER).error(message)
    else:
        print(f"{prefix}{printable(message)}", file=sys.stderr, flush=True)


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UsageError:
    """An error for a ``name`` that is not in ``known``, or is empty: it suggests the nearest one, or lists them."""
    if not name:
        return UsageError(f"no {kind} is given; give {'one of ' if len(known) > 1 else ''}{', '.join(known)}")
    longer = [one for one in known if one.startswith(name)] if len(name.strip("-")) > 1 else []
    if close := longer or get_close_matches(name, known, n=1):
        return UsageError(f"{kind} {name} is unknown; did you mean {' or '.join(close)}?")
    return UsageError(f"{kind} {name} is unknown; known are {', '.join(known)}")
