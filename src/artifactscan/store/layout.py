"""The layout of a store below ``--output``, its runs, and which of them are committed.

frames/run=<id>/*.parquet    one row per scored frame
videos/run=<id>/*.parquet    the ledger; objects settled by earlier runs are in unchanged-*.parquet
events/run=<id>/*.parquet    time-coded events
runs/<id>/manifest.parquet   the listing, and what the run does about each object
runs/<id>/parts/             scores as the graph writes them, at least once
runs/<id>/ray_data_stats.txt Ray Data's statistics of its last execution
runs/<id>/run.json           what ran; written last: a run without it is not committed
lease.json                   the job that works on the store now
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import parquet_files, read_schema

STORE_VERSION = 1
"""Raised when tables or run.json change in a way that older readers would misread."""

UNCHANGED_PREFIX = "unchanged-"
"""Prefix of ledger files that only repeat what earlier runs settled; a plan does not read them."""

_REQUEST_KEY = b"artifactscan.request"


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


@dataclass(frozen=True)
class StoredRuns:
    """The runs of a store when its run.json files were read."""

    committed: tuple[RunRecord, ...]
    """Oldest first."""
    uncommitted: tuple[str, ...]
    """Ids of the runs that were cut off or are under way, oldest first."""


def new_run_id() -> str:
    """A run id that sorts by time: UTC start to the second, and four random bytes."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Store:
    """The folders and files of one store; ``root`` is a local folder or s3://bucket/prefix."""

    root: str

    def frames(self, run: str) -> str:
        return storage.join(self.root, "frames", f"run={run}")

    def videos(self, run: str) -> str:
        return storage.join(self.root, "videos", f"run={run}")

    def events(self, run: str) -> str:
        return storage.join(self.root, "events", f"run={run}")

    def run(self, run: str) -> str:
        return storage.join(self.root, "runs", run)

    def manifest(self, run: str) -> str:
        return storage.join(self.run(run), "manifest.parquet")

    def parts(self, run: str) -> str:
        return storage.join(self.run(run), "parts")

    def stats(self, run: str) -> str:
        return storage.join(self.run(run), "ray_data_stats.txt")

    def run_json(self, run: str) -> str:
        return storage.join(self.run(run), "run.json")

    @property
    def lease(self) -> str:
        return storage.join(self.root, "lease.json")

    def run_ids(self) -> list[str]:
        """Every run folder, committed or not, oldest first."""
        return sorted(storage.list_names(storage.join(self.root, "runs")))

    def read_runs(self) -> StoredRuns:
        """Reads every run.json; UsageError for one that this version cannot read."""
        runs = self.run_ids()
        records = dict(zip(runs, map_in_order(self._read_record, runs), strict=True))
        return StoredRuns(
            committed=tuple(record for record in records.values() if record is not None),
            uncommitted=tuple(run for run, record in records.items() if record is None),
        )

    def committed(self) -> list[RunRecord]:
        """The committed runs, oldest first; reads every run.json."""
        return list(self.read_runs().committed)

    def _read_record(self, run: str) -> RunRecord | None:
        uri = self.run_json(run)
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

    def ledger_files(self, run: str) -> list[str]:
        """The files of a run's ledger, without those that repeat what earlier runs settled."""
        files = parquet_files(self.videos(run))
        return [file for file in files if not file.rsplit("/", 1)[-1].startswith(UNCHANGED_PREFIX)]

    def commit(self, record: RunRecord) -> None:
        """Writes run.json, which commits the run."""
        storage.write_bytes(self.run_json(record.run), json.dumps(asdict(record), indent=2).encode())

    def find_unfinished(self, request: str, uncommitted: Sequence[str]) -> str | None:
        """The latest of the ``uncommitted`` runs whose manifest carries this request digest, or None."""
        for run in reversed(uncommitted):
            if not storage.exists(self.manifest(run)):
                continue
            metadata = read_schema(self.manifest(run)).metadata or {}
            if metadata.get(_REQUEST_KEY, b"").decode() == request:
                return run
        return None

    def discard_tables(self, uncommitted: Sequence[str]) -> None:
        """Removes tables that the ``uncommitted`` runs left: readers of a table take every file in its folder."""
        folders = {f"run={run}" for run in uncommitted}
        for table in ("frames", "events", "videos"):
            parent = storage.join(self.root, table)
            for name in folders.intersection(storage.list_names(parent)):
                storage.remove_tree(storage.join(parent, name))


def manifest_schema(schema: pa.Schema, request: str) -> pa.Schema:
    """``schema`` with the request digest, by which ``find_unfinished`` finds the run again."""
    return schema.with_metadata({_REQUEST_KEY: request.encode()})
