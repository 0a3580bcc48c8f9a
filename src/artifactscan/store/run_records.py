"""What run.json says of a run, and reading and writing it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from artifactscan import storage
from artifactscan.errors import UsageError

STORE_VERSION = 1
"""Raised when tables or run.json change in a way that older readers would misread."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What run.json says: what was asked, what ran, and what came of it."""

    run: str
    store_version: int = STORE_VERSION
    spec_digest: str
    scope_digest: str
    """Digest of the input and its filters; runs of one scope show which objects were removed since."""
    limits_digest: str
    """Digest of the decoding limits: under other limits a failed video may succeed."""
    spec: dict[str, Any]
    settings: dict[str, Any]
    checkpoint: dict[str, Any]
    versions: dict[str, str]
    precision: list[str]
    """Precisions the classifiers ran at."""
    started: str
    finished: str
    seconds: dict[str, float]
    counts: dict[str, int]
    """listed, removed, without_frames, frames, events."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Videos of each outcome; together they are the listed ones."""
    rates: dict[str, Any] = field(default_factory=dict)
    """Totals over the scored frames: ``frames``; seconds ``decode_s``, ``fetch_s``, ``classify_s``; ``device``."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what differed from the settings, such as fp32 in place of bf16."""

    @property
    def flags_by(self) -> dict[str, float] | None:
        """The thresholds that events/ and the counts in videos/ are by; None where they are being computed anew."""
        return self.checkpoint.get("flags_by", self.checkpoint.get("thresholds"))

    @property
    def is_being_flagged(self) -> bool:
        """Whether a command computes its flags and events anew, or was cut off in that."""
        return "flags_by" in self.checkpoint and self.flags_by is None

    @property
    def checkpoint_name(self) -> str | None:
        """The name that tables have for the checkpoint (`Checkpoint.name`); None for a record that does not tell."""
        if "backbone" not in self.checkpoint or "digest" not in self.checkpoint:
            return None
        return f"{self.checkpoint['backbone']}-{self.checkpoint['digest'][:8]}"

    def with_flags_by(self, thresholds: Mapping[str, float] | None) -> "RunRecord":
        """The record once its flags and events are by other thresholds; None for while they are computed."""
        return replace(self, checkpoint={**self.checkpoint, "flags_by": thresholds and dict(thresholds)})


@dataclass(frozen=True)
class StoredRuns:
    """The runs of a store when its run.json files were read."""

    committed: tuple[RunRecord, ...]
    """Oldest first."""
    uncommitted: tuple[str, ...]
    """Ids of the runs that were cut off or are under way, oldest first."""


def read_run_record(uri: str) -> RunRecord | None:
    """The record in the run.json ``uri``, None where there is none; UsageError for one that cannot be read."""
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        return None
    try:
        values = json.loads(data)
        version = values["store_version"]
        if version == STORE_VERSION:
            return RunRecord(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{uri} is damaged ({error}); restore it, or remove it to have the run settled again"
        ) from None
    raise UsageError(
        f"{uri} has store version {version}, this artifactscan reads {STORE_VERSION}; "
        "use the version that wrote it, or another --output"
    )


def write_run_record(uri: str, record: RunRecord) -> None:
    """Writes run.json, which commits the run."""
    storage.write_bytes(uri, json.dumps(asdict(record), indent=2).encode())
