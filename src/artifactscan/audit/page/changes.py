"""What differs between two nights in versions, settings, policy and thresholds."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.audit.night import Night
from artifactscan.audit.settings import SECRETS


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting, version or threshold that differs from the night before."""

    kind: str
    name: str
    before: str
    tonight: str


def changes(previous: Night | None, night: Night) -> list[Change]:
    """What differs between two nights; empty without a previous one."""
    if previous is None:
        return []
    kinds = {
        "version": (previous.versions, night.versions),
        "checkpoint": (without_figures(previous.checkpoint), without_figures(night.checkpoint)),
        "threshold": (previous.thresholds, night.thresholds),
        "event": (previous.events, night.events),
        "policy": (previous.policy, night.policy),
        "spec": (previous.spec, night.spec),
        "setting": (without_secrets(previous.settings), without_secrets(night.settings)),
    }
    return [
        Change(kind=kind, name=name, before=before.get(name, "not set"), tonight=tonight.get(name, "not set"))
        for kind, (old, new) in kinds.items()
        for before, tonight in [(dict(flat(old)), dict(flat(new)))]
        for name in {**before, **tonight}
        if before.get(name) != tonight.get(name)
    ]


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a page may show."""
    return {name: value for name, value in settings.items() if name not in SECRETS}


def without_figures(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies a night's checkpoint, without its card's figures, which a page shows in words."""
    return {name: value for name, value in checkpoint.items() if name != "auroc"}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _in_words(value)


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
