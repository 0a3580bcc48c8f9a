"""The settings of `artifactscan export`."""

from dataclasses import dataclass
from typing import Literal, get_args

import tyro

from artifactscan.errors import UsageError

EventTargetName = Literal["fiftyone", "label-studio", "cvat", "webvtt"]
TableTargetName = Literal["iceberg", "delta", "duckdb", "views"]
EVENT_TARGETS: tuple[str, ...] = get_args(EventTargetName)
_WITHOUT = {"spec": "the spec of the latest run", "catalog": "a catalogue in a file of --output"}
"""Flag → what is taken without it."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Writes the events or the tables of a store for another tool."""

    store: tyro.conf.Positional[str]
    """A scoring store, or an audit's."""
    to: EventTargetName | TableTargetName
    """The tool: events for people who look (the first four), or tables; views: SQL over the store as it lies."""
    output: str
    """Folder to write, or with duckdb the database file."""
    spec: str | None = None
    """With events: the first letters of the spec whose scores to export; without it that of the latest run."""
    catalog: str | None = None
    """Iceberg: SQLAlchemy URL of an SQL catalogue, or a name in PyIceberg's configuration; else a file in --output."""
    namespace: str = "artifactscan"
    """Iceberg: namespace of the tables."""

    def __post_init__(self) -> None:
        given = {"spec": self.spec is not None, "catalog": self.catalog is not None}
        given["namespace"] = self.namespace != ExportSettings.namespace
        takes = ("spec",) if self.to in EVENT_TARGETS else ("catalog", "namespace") if self.to == "iceberg" else ()
        for flag, without in _WITHOUT.items():
            if getattr(self, flag) == "":  # such as a variable that is not set
                raise UsageError(f"--{flag} is empty; give it a value, or leave it out for {without}")
        for flag in given:
            if given[flag] and flag not in takes:
                targets = ", ".join(EVENT_TARGETS) if flag == "spec" else "iceberg"
                raise UsageError(f"--{flag} goes with --to {targets}; leave it out with --to {self.to}")
