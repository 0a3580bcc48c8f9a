"""The layout of an audit's store, its nights, and which of them are committed.

scores/                    a scoring store: every video of the corpus that was ever listed
slow/                      a scoring store: failed videos, retried with the other decoder
resample/                  a scoring store: a share of the videos at double the rate
canary/clips/              the canary clips; canary/clips.json, written last, has their digests
nights/<id>/canary/        a scoring store: the canaries, scored in that night
nights/<id>/<tables>/      arrivals, events, cells, canaries, sampling, prevalence, pictures, label_sample (.parquet)
nights/<id>/to-label/      the sample for people or a judge, and their labels; see label_folder.py
nights/<id>/report.html    the page; report.md for chats, videos.csv for spreadsheets, estimates.parquet
nights/<id>/night.json     the night's settings and results; written last: a night without it is not committed
latest.html                leads to the newest page
lease.json                 the job that works on the store now
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa

from artifactscan import storage
from artifactscan.audit.label_folder import LabelFolder
from artifactscan.audit.night import NIGHT_VERSION, Night, Verdict
from artifactscan.audit.night_tables import LABEL_SAMPLE
from artifactscan.errors import UsageError
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.lease import LEASE_NAME
from artifactscan.storage.parquet import arrow_reason, read_table, write_table
from artifactscan.store.layout import Store, new_run_id

TABLES_PREFIX = "tables-"
CANARY_DIGESTS = "clips.json"
"""In canary/, written last: the digests of the clips."""


@dataclass(frozen=True)
class AuditStore:
    """The folders and files of one audit; ``root`` is a local folder or s3://bucket/prefix."""

    root: str

    @property
    def scores(self) -> Store:
        return Store(storage.join(self.root, "scores"))

    @property
    def slow(self) -> Store:
        return Store(storage.join(self.root, "slow"))

    @property
    def resample(self) -> Store:
        return Store(storage.join(self.root, "resample"))

    @property
    def canary(self) -> str:
        return storage.join(self.root, "canary")

    @property
    def canary_digests(self) -> str:
        return storage.join(self.canary, CANARY_DIGESTS)

    @property
    def lease(self) -> str:
        return storage.join(self.root, LEASE_NAME)

    def folder(self, night: str) -> str:
        return storage.join(self.root, "nights", night)

    def canary_scores(self, night: str) -> Store:
        return Store(storage.join(self.folder(night), "canary"))

    def night_json(self, night: str) -> str:
        return storage.join(self.folder(night), "night.json")

    def label_folder(self, night: str) -> LabelFolder:
        return LabelFolder(storage.join(self.folder(night), "to-label"))

    def label_sample(self, night: Night) -> pa.Table:
        """The LABEL_SAMPLE of a committed night; empty where none was drawn, as by versions that drew none."""
        if not storage.exists(storage.join(self.folder(night.night), night.tables, "label_sample.parquet")):
            return LABEL_SAMPLE.empty_table()
        return self.table(night, "label_sample", LABEL_SAMPLE)

    def estimates(self, night: str) -> str:
        """Where the ESTIMATES of a night are, as its page shows them; there is no file without any."""
        return storage.join(self.folder(night), "estimates.parquet")

    def table(self, night: Night, name: str, schema: pa.Schema) -> pa.Table:
        """One of a committed night's tables; nullable columns that an earlier version did not write are null."""
        uri = storage.join(self.folder(night.night), night.tables, f"{name}.parquet")
        try:
            return _with_columns(read_table(uri), schema).cast(schema)
        except (FileNotFoundError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise UsageError(
                f"{uri} cannot be read ({arrow_reason(error)}); restore it, or rewrite the nights' tables "
                "from the scores with `artifactscan report --anew`"
            ) from None

    def nights(self) -> list[Night]:
        """The committed nights, oldest first; UsageError for one that this version cannot read."""
        return [night for night in map_in_order(self._read_night, self._ids()) if night is not None]

    def discard_uncommitted(self, committed: list[Night]) -> None:
        """Removes the nights of audits that were cut off; their scores are in scores/ and stay."""
        for left in set(self._ids()).difference(night.night for night in committed):
            storage.remove_tree(self.folder(left))

    def write_tables(self, night: str, tables: Mapping[str, pa.Table]) -> str:
        """Writes a night's tables into a new folder and returns its name, for ``Night.tables``."""
        name = TABLES_PREFIX + secrets.token_hex(4)
        for table, rows in tables.items():
            write_table(rows, storage.join(self.folder(night), name, f"{table}.parquet"))
        return name

    def commit(self, night: Night) -> None:
        """Writes night.json, which commits the night, and removes table folders that it no longer names."""
        storage.write_bytes(self.night_json(night.night), json.dumps(asdict(night), indent=2).encode())
        for name in storage.list_names(self.folder(night.night)):
            if name.startswith(TABLES_PREFIX) and name != night.tables:
                storage.remove_tree(storage.join(self.folder(night.night), name))

    def check(self, corpus: str) -> None:
        """UsageError where the root holds a scoring store or lies in the corpus, which would score the canaries."""
        corpus = storage.normalise(corpus)
        if f"{self.root}/".startswith(f"{corpus}/"):
            raise UsageError(
                f"--store {self.root} lies in the corpus {corpus}, so that the audit would score its own clips; "
                "give it a place elsewhere"
            )
        if {"runs", "frames", "videos"}.intersection(storage.list_names(self.root)):
            raise UsageError(f"--store {self.root} is a scoring store; give the audit a folder of its own")

    def _ids(self) -> list[str]:
        return sorted(storage.list_names(storage.join(self.root, "nights")))

    def _read_night(self, night: str) -> Night | None:
        uri = self.night_json(night)
        try:
            data = storage.read_bytes(uri)
        except FileNotFoundError:
            return None
        try:
            values = json.loads(data)
            version = values["night_version"]
            if version == NIGHT_VERSION:
                return _from_json(values)
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{uri} is damaged ({error}); restore it, or remove its folder to have its videos counted in the "
                "next night (if that says that the canaries' reference is gone, give --accept-scorer)"
            ) from None
        raise UsageError(
            f"{uri} has version {version}, this artifactscan reads {NIGHT_VERSION}; use the version that wrote it, or "
            "another --store"
        )


def new_night_id(nights: list[Night]) -> str:
    """An id that sorts after all ``nights``; UsageError where the clock is behind the last of them."""
    night = new_run_id()
    if nights and night <= nights[-1].night:
        raise UsageError(
            f"the clock says {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, but the store's last night began "
            f"{nights[-1].started}; set the clock right, or wait until it is past that"
        )
    return night


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names) if set(schema.names) == set(table.column_names) else table


def _from_json(values: dict) -> Night:
    verdict = values.pop("verdict")
    verdict["reasons"] = tuple(verdict["reasons"])
    for name in ("runs", "baseline", "notes", "remarks"):
        values[name] = tuple(values[name])
    return Night(verdict=Verdict(**verdict), **values)
