"""Shell completion of `artifactscan`: subcommands and their flags, by tyro and shtab."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from artifactscan.cli.exit_codes import unknown_name

SHELLS = ("bash", "zsh", "tcsh")

Settings = type | Mapping[str, type]
"""A job's settings, or those of each of its commands."""


def print_completion(arguments: Sequence[str], jobs: Mapping[str, Settings]) -> None:
    """Prints a completion script on stdout for the shell that ``arguments`` name; UsageError for another one."""
    shell = arguments[0] if arguments else ""
    if shell not in SHELLS:
        raise unknown_name("shell", shell or "''", SHELLS)
    try:
        tyro.cli(_union(jobs), prog="artifactscan", args=["--tyro-print-completion", shell])
    except SystemExit as ended:
        if ended.code:
            raise


def _union(commands: Mapping[str, Settings]) -> Any:
    """A union of subcommands, which is how tyro declares them."""
    options = [
        Annotated[settings if isinstance(settings, type) else _union(settings), tyro.conf.subcommand(name)]
        for name, settings in commands.items()
    ]
    if len(options) == 1:  # tyro makes subcommands of a union only
        options.append(Annotated[None, tyro.conf.subcommand("help")])
    return Union[tuple(options)]  # noqa: UP007 - made at run time
