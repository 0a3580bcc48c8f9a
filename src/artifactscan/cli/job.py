"""What every job's command line does alike: flags and YAML into one dataclass, errors into one line and a code."""

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import tyro

from artifactscan.cli.yaml_text import parse_yaml
from artifactscan.errors import CutOffError, LedgerError, UsageError
from artifactscan.messages.logs import ROOT_LOGGER, log_json, log_plainly, logs_json
from artifactscan.messages.text import printable, without_credentials

EXIT_OK, EXIT_TOO_MANY_FAILED, EXIT_USAGE, EXIT_LEDGER = 0, 1, 2, 3

SettingsType = TypeVar("SettingsType")

_CONFIG_HELP = (
    """--config FILE takes any of these options from a YAML file, `sample-fps: 2` a line; a flag wins over it."""
)


def parse_settings(settings: type[SettingsType], arguments: list[str] | None, *, description: str) -> SettingsType:
    """Fills ``settings`` from flags; ``--config FILE`` names a YAML file whose values the flags override.

    Wrong flags end the process with 2, as tyro does, whose words they have; with JSON asked for they are a UsageError,
    as a file that cannot be used is.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _log_as_told(arguments)
    from_file = _take_config(arguments, settings)
    _log_as_told([*from_file, *arguments])
    description = f"{description.rstrip()}\n\n{_CONFIG_HELP}"
    box = io.StringIO()
    try:
        with redirect_stderr(box) if logs_json() else nullcontext():
            return tyro.cli(settings, args=[*from_file, *arguments], description=description)
    except SystemExit as ended:
        if ended.code != EXIT_USAGE or not logs_json():
            raise
        raise UsageError(_unboxed(box.getvalue())) from None


def _unboxed(box: str) -> str:
    """What stands in the box that tyro draws around an error, in one line: its title, and paragraphs, between rules."""
    title, *lines = (line.strip("╭╮│╰╯─ ") for line in box.splitlines())
    paragraphs = [[]]
    for line in lines:
        if line.strip("-"):  # where the terminal cannot show a box, rules are of dashes
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return f"{title}: {'; '.join(' '.join(paragraph) for paragraph in paragraphs if paragraph)}"


def _log_as_told(words: list[str]) -> None:
    """Has errors be JSON where ``words`` ask for it, before anything can be wrong with the rest of them."""
    parts = [part for word in words for part in word.split("=", 1)]
    told = [value for name, value in pairwise(parts) if name.replace("_", "-") == "--log-format"]
    if told and told[-1] == "json":
        log_json("", sys.stderr)  # until there is a run


@dataclass
class Ended:
    """How a job ended."""

    code: int = EXIT_LEDGER


@contextmanager
def report_errors() -> Iterator[Ended]:
    """Turns what ends a job early into one sentence on stderr and an exit code in what it yields.

    SIGTERM counts as an interruption, so that a scheduler's stop leaves the same store as Ctrl-C.
    """
    ended = Ended()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log_plainly()
    try:
        yield ended
    except UsageError as error:
        ended.code = fail(str(error), EXIT_USAGE)
    except (LedgerError, CutOffError) as error:
        ended.code = fail(str(error), EXIT_LEDGER)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for what Python still flushes when it ends
        ended.code = fail("whoever read this output has gone; the same command does the rest", EXIT_LEDGER)
    except KeyboardInterrupt:
        ended.code = fail("interrupted; the same command goes on with what is not done yet", EXIT_LEDGER)
    except Exception:  # ours to mend, so the traceback is wanted; without a code of its own it would read as 1
        if logs_json():
            logging.getLogger(ROOT_LOGGER).exception("a bug")
        else:
            traceback.print_exc()
        ended.code = fail("this is a bug in artifactscan; the same command continues the run", EXIT_LEDGER)


def failures_exit_code(failed: int, listed: int, max_failed: float, what: str = "have no frame scored") -> int:
    """EXIT_TOO_MANY_FAILED, said on stderr, where more than the share ``max_failed`` of the listed videos failed."""
    if failed <= max_failed * listed:
        return EXIT_OK
    _tell(f"{failed:,} of {listed:,} videos {what}, more than --max-failed {max_failed:g} allows", before="failed: ")
    return EXIT_TOO_MANY_FAILED


def fail(message: str, code: int) -> int:
    """Says on stderr why a job ends early, and returns ``code``."""
    _tell(message, before="error: ")
    return code


def _tell(message: str, *, before: str = "") -> None:
    message = without_credentials(message)  # what a flag or an endpoint's URL holds is quoted by what went wrong
    if logs_json():
        logging.getLogger(ROOT_LOGGER).error(message)
    else:
        print(f"{before}{printable(message)}", file=sys.stderr, flush=True)


def _take_config(arguments: list[str], settings: type) -> list[str]:
    """Removes --config from ``arguments`` and returns the file's values as flags."""
    for position, argument in enumerate(arguments):
        name, equals, path = argument.partition("=")
        if name != "--config":
            continue
        if not equals and position + 1 == len(arguments):
            raise UsageError("--config needs the path of a YAML file")
        path = path if equals else arguments[position + 1]
        del arguments[position : position + (1 if equals else 2)]
        return [flag for name, value in _read_yaml(path, settings).items() for flag in _flags(name, value)]
    return []


def _read_yaml(path: str, settings: type) -> dict[str, Any]:
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}") from None
    given = parse_yaml(text, f"--config {path}")
    if not isinstance(given, dict):
        what = "is empty" if given is None else "has no settings"
        raise UsageError(f"--config {path} {what}; write `setting: value` lines, `sample-fps: 2` say")
    known = {field.name.replace("_", "-") for field in fields(settings)}
    names = [str(name).replace("_", "-") for name in given]
    values = dict(zip(names, given.values(), strict=True))
    if twice := [name for name in values if names.count(name) > 1]:
        raise UsageError(f"--config {path} sets {', '.join(twice)} twice, with - and with _; keep one")
    if unknown := sorted(set(values) - known):
        raise UsageError(f"--config {path} sets {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    for field in fields(settings):
        name = field.name.replace("_", "-")
        value, switch = values.get(name), isinstance(field.default, bool)
        if switch and not isinstance(value, bool | None):
            raise UsageError(f"--config {path} sets {name} to {value!r}; give true or false")
        if isinstance(value, dict) or (isinstance(value, bool) and not switch):
            raise UsageError(f"--config {path} sets {name} to {value!r}; give it the value that --{name} takes")
    return values


def _flags(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
