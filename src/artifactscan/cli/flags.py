"""A job's command line: flags and a YAML file fill one dataclass."""

import io
import sys
from contextlib import redirect_stderr
from dataclasses import fields
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import tyro

from artifactscan.cli.exit_codes import EXIT_USAGE, unknown_name
from artifactscan.cli.tyro_errors import describe, unknown_flag
from artifactscan.cli.yaml_text import parse_yaml
from artifactscan.errors import UsageError
from artifactscan.messages.hub_endpoint import check_importable
from artifactscan.messages.logs import log_json

SettingsType = TypeVar("SettingsType")

_CONFIG_HELP = (
    """--config FILE takes any of these options from a YAML file, `sample-fps: 2` a line; a flag wins over it."""
)


def parse_settings(settings: type[SettingsType], arguments: list[str] | None, *, description: str) -> SettingsType:
    """Fills ``settings`` from flags; ``--config FILE`` names a YAML file whose values the flags override.

    UsageError for a file that cannot be used, an unknown flag, a missing or malformed value, and a HF_ENDPOINT with
    which no model can be loaded.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _set_log_format(arguments)
    from_file = _take_config(arguments, settings)
    _set_log_format([*from_file, *arguments])
    description = f"{description.rstrip()}\n\n{_CONFIG_HELP}"
    box = io.StringIO()
    try:
        with redirect_stderr(box):
            parsed = tyro.cli(settings, args=[*from_file, *arguments], description=description)
    except SystemExit as ended:
        if ended.code != EXIT_USAGE:
            raise
        if unknown := unknown_flag(box.getvalue()):
            raise unknown_name("flag", unknown, known_flags(settings)) from None
        raise UsageError(describe(box.getvalue(), [*from_file, *arguments])) from None
    check_importable()  # else importing timm ends with a traceback, also where nothing is on a hub
    return parsed


def known_flags(settings: type) -> list[str]:
    """The long flags that fill a settings dataclass, sorted."""
    names = {field.name for field in fields(settings)} | {"config", "help"}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        for option in getattr(hint, "__metadata__", ()):
            if renamed := getattr(option, "name", None):  # tyro.conf.arg(name=…)
                names = names - {name} | {renamed}
    return sorted(f"--{name.replace('_', '-')}" for name in names)


def _set_log_format(words: list[str]) -> None:
    """Makes errors JSON where ``words`` ask for it, before the other flags are checked."""
    parts = [part for word in words for part in word.split("=", 1)]
    given = [value for name, value in pairwise(parts) if name.replace("_", "-") == "--log-format"]
    if given and given[-1] == "json":
        log_json("", sys.stderr)  # a job logs again, with its run, once it has one


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
        close = get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"--config {path} sets {', '.join(unknown)}; {hint}known are {', '.join(sorted(known))}")
    hints = get_type_hints(settings)
    for field in fields(settings):
        name = field.name.replace("_", "-")
        value, switch = values.get(name), isinstance(field.default, bool)
        if switch and not isinstance(value, bool | None):
            raise UsageError(f"--config {path} sets {name} to {value!r}; give true or false")
        if isinstance(value, dict) or (isinstance(value, bool) and not switch):
            raise UsageError(f"--config {path} sets {name} to {value!r}; give it the value that --{name} takes")
        if isinstance(value, list) and get_origin(hints[field.name]) is not tuple:
            raise UsageError(f"--config {path} sets {name} to a list, {value!r}; give one value")
    return values


def _flags(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
