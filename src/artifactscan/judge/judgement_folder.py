"""The folder of a judgement: what is in it, what continues it, and what commits it.

`judge.json` is written first and says what the judgements depend on; `parts/` grows while the job runs; `labels.csv`,
`answers.parquet` and, last, `outcomes.parquet` are written when every frame has its outcome.
"""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from artifactscan import __version__, storage
from artifactscan.annotation.labels_table import write_labels
from artifactscan.errors import UsageError
from artifactscan.judge.judgement_tables import ANSWERS, FAILED, merge_answers
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.lease import LEASE_NAME
from artifactscan.storage.parquet import parquet_files, read_table, write_table

_RECORD, _LABELS, _ANSWERS, _OUTCOMES = "judge.json", "labels.csv", "answers.parquet", "outcomes.parquet"


@dataclass(frozen=True)
class JudgementFolder:
    """A judgement's folder or s3:// prefix."""

    root: str

    @property
    def parts(self) -> str:
        return storage.join(self.root, "parts")

    @property
    def lease(self) -> str:
        return storage.join(self.root, LEASE_NAME)

    @property
    def labels(self) -> str:
        return storage.join(self.root, _LABELS)

    @property
    def outcomes(self) -> str:
        return storage.join(self.root, _OUTCOMES)

    @property
    def comparison(self) -> str:
        """Where the comparison with the scorer is kept."""
        return storage.join(self.root, "against.json")

    def check(self, identity: dict[str, Any]) -> None:
        """UsageError where the folder holds something else, or judgements of another ``identity``."""
        try:
            record = json.loads(storage.read_bytes(storage.join(self.root, _RECORD)))
            theirs = record["judge"]
        except FileNotFoundError:
            if any(storage.exists(place) for place in (self.labels, self.outcomes)):
                raise UsageError(
                    f"output {self.root} has tables that are not from a judgement; give another one"
                ) from None
            return
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"output {self.root}: {_RECORD} cannot be read; remove it, or give another --output"
            ) from None
        if theirs.setdefault("index", identity.get("index")) != identity.get("index"):  # early versions kept none
            raise UsageError(
                f"output {self.root} holds judgements of another index, or of images that have changed since; give "
                "another --output"
            )
        if differing := [name for name, value in identity.items() if theirs.get(name) != value]:
            name = differing[0]
            raise UsageError(
                f"output {self.root} holds judgements with {name} {theirs.get(name)!r}, now it is {identity[name]!r}; "
                "give another --output"
            )

    def begin(self, settings: dict[str, Any], identity: dict[str, Any]) -> None:
        """Writes the record."""
        record = {"judge": identity, "settings": settings, "artifactscan": __version__}
        storage.write_bytes(storage.join(self.root, _RECORD), json.dumps(record, indent=2).encode())

    def read_answers(self, *, retry_failed: bool = False) -> pa.Table:
        """The merged ANSWERS that count: those of finished judgements and the parts of one that was cut off.

        Failed ones of the latter are left out, and with ``retry_failed`` all of them, so that they are asked again.
        """
        finished, parts = ANSWERS.empty_table(), parquet_files(self.parts)
        if storage.exists(storage.join(self.root, _ANSWERS)):
            finished = read_table(storage.join(self.root, _ANSWERS)).select(ANSWERS.names).cast(ANSWERS)
        tables = list(map_in_order(partial(read_table, columns=ANSWERS.names), parts))
        tables = [_without_failed(table.cast(ANSWERS)) for table in tables]
        return merge_answers([_without_failed(finished) if retry_failed else finished, *tables])

    def read_parts(self) -> pa.Table:
        """All ANSWERS in the parts, merged."""
        return merge_answers(list(map_in_order(read_table, parquet_files(self.parts))))

    def commit(self, answers: pa.Table, outcomes: pa.Table, labels: pa.Table | None) -> None:
        """Writes the tables; from then on the parts are not needed.

        ``labels``: None where they are not to be used; those of an earlier judgement are removed then.
        """
        if labels is not None:
            write_labels(labels, self.labels)
        else:
            storage.remove_tree(self.labels)
        write_table(answers, storage.join(self.root, _ANSWERS))
        write_table(outcomes, self.outcomes)
        storage.remove_tree(self.parts)


def _without_failed(table: pa.Table) -> pa.Table:
    keep = [outcome != FAILED for outcome in table["outcome"].to_pylist()]
    return table.filter(pa.array(keep, pa.bool_()))
