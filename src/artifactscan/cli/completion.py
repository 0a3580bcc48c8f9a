"""Shell completion of `artifactscan`: subcommands and their flags, by tyro."""

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, Union

import tyro

from artifactscan.cli.exit_codes import unknown_name

SHELLS = ("bash", "zsh")

Settings = type | Mapping[str, type]
"""A job's settings, or those of each of its commands."""


@dataclass(frozen=True)
class _NoFlags:
    """A subcommand without flags."""


def print_completion(shell: str, jobs: Mapping[str, Settings]) -> None:
    """Prints a completion script for ``shell`` on stdout; UsageError for one that is not in SHELLS."""
    if shell not in SHELLS:
        raise unknown_name("shell", shell, SHELLS)
    try:
        tyro.cli(
            _union({**jobs, "completion": dict.fromkeys(SHELLS, _NoFlags)}),
            prog="artifactscan",
            args=["--tyro-print-completion", shell],
        )
    except SystemExit as ended:
        if ended.code:
            raise


def _union(commands: Mapping[str, Any]) -> Any:
    """A union of subcommands, which is how tyro declares them."""
    options = [
        Annotated[_union(one) if isinstance(one, Mapping) else _add_config(one), tyro.conf.subcommand(name)]
        for name, one in commands.items()
    ]
    if len(options) == 1:  # tyro makes subcommands of a union only
        options.append(Annotated[_NoFlags, tyro.conf.subcommand("help")])
    return Union[tuple(options)]  # noqa: UP007 - made at run time


def _add_config(settings: type) -> type:
    """``settings`` with the flag --config, which `parse_settings` takes before tyro sees the others."""
    if settings is _NoFlags:
        return settings
    config = [("config", str | None, None)]
    return make_dataclass(settings.__name__, config, bases=(settings,), frozen=True, kw_only=True)
