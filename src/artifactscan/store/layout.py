"""The layout of a store below ``--output``, and which of its runs are committed.

frames/run=<id>/*.parquet    one row per scored frame
videos/run=<id>/*.parquet    the ledger; objects settled by earlier runs are in unchanged-*.parquet
events/run=<id>/*.parquet    time-coded events
runs/<id>/manifest.parquet   the listing, and what the run does about each object
runs/<id>/parts/             scores as the graph writes them, at least once; merged by `artifactscan compact`
runs/<id>/compacting/        a folder of a table that is being rewritten, or what a kill left of that
runs/<id>/ray_data_stats.txt Ray Data's statistics of its last execution
runs/<id>/run.json           what ran; written last: a run without it is not committed
lease.json                   the job that works on the store now
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from artifactscan import storage
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.lease import LEASE_NAME
from artifactscan.storage.parquet import parquet_files, read_schema
from artifactscan.store.run_records import RunRecord, StoredRuns, read_run_record, write_run_record

UNCHANGED_PREFIX = "unchanged-"
"""Prefix of ledger files that only repeat what earlier runs settled; a plan does not read them."""

_REQUEST_KEY = b"artifactscan.request"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def new_run_id() -> str:
    """A run id that sorts by time: UTC start to the second, and four random bytes."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def is_run_id(name: str) -> bool:
    """Whether ``name`` has the form of ``new_run_id``."""
    return _RUN_ID.fullmatch(name) is not None


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
        return storage.join(self.root, LEASE_NAME)

    def run_ids(self) -> list[str]:
        """Every run folder, committed or not, oldest first."""
        return sorted(storage.list_names(storage.join(self.root, "runs")))

    def read_runs(self) -> StoredRuns:
        """Reads every run.json; UsageError for one that this version cannot read."""
        runs = self.run_ids()
        records = dict(zip(runs, map_in_order(lambda run: read_run_record(self.run_json(run)), runs), strict=True))
        return StoredRuns(
            committed=tuple(record for record in records.values() if record is not None),
            uncommitted=tuple(run for run, record in records.items() if record is None),
        )

    def committed(self) -> list[RunRecord]:
        """The committed runs, oldest first; reads every run.json."""
        return list(self.read_runs().committed)

    def runs_of(self, spec_digest: str) -> list[str]:
        """The committed runs of one spec, oldest first; reads every run.json."""
        return [record.run for record in self.committed() if record.spec_digest == spec_digest]

    def ledger_files(self, run: str) -> list[str]:
        """The files of a run's ledger, without those that repeat what earlier runs settled."""
        files = parquet_files(self.videos(run))
        return [file for file in files if not file.rsplit("/", 1)[-1].startswith(UNCHANGED_PREFIX)]

    def commit(self, record: RunRecord) -> None:
        """Writes run.json, which commits the run."""
        write_run_record(self.run_json(record.run), record)

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
