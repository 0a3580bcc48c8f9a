"""Pins what a job reads from a model hub to commits, once, so that it cannot change while the job runs."""

from dataclasses import replace
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from artifactscan.messages.text import printable
from artifactscan.storage import hub, is_hub

SettingsType = TypeVar("SettingsType")


def pin_revisions(settings: SettingsType, *names: str, out: Console | None = None) -> SettingsType:
    """``settings`` in which the hf:// uris of these fields name the commits that their revisions are now.

    A line on ``out`` says of each which commit that is, unless it was given one. The settings that a job records then
    name what it read. UsageError as ``storage.hub.pin``.
    """

    def pinned(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(pinned(one) for one in value)
        if not isinstance(value, str) or not is_hub(value):
            return value
        uri = hub.pin(value)
        if out is not None and uri.rpartition("@")[2] != value.rpartition("@")[2]:
            out.print(Text(f"{printable(value)} is read at {printable(uri)}"), soft_wrap=True)
        return uri

    return replace(settings, **{name: pinned(getattr(settings, name)) for name in names})  # type: ignore[type-var]
