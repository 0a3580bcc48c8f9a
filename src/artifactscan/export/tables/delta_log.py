"""Finds the file of a Delta log because of which its table cannot be opened: delta-rs names none."""

import json
import re
from itertools import pairwise

import pyarrow as pa

from artifactscan import storage
from artifactscan.export.target_place import DELTA_LOG
from artifactscan.storage.parquet import arrow_reason, read_schema

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint.*\.parquet")


def find_damaged_file(table: str) -> str | None:
    """What is wrong with which file of the log of the table at ``table``; None where all can be read.

    A commit is a file of JSON lines named by its version, a checkpoint one of Parquet
    (https://github.com/delta-io/delta/blob/master/PROTOCOL.md). OSError for a file that may not be read.
    """
    log = storage.join(table, DELTA_LOG)
    names = storage.list_names(log)
    commits = [name for name in names if _COMMIT.fullmatch(name)]
    checkpoints = [name for name in names if _CHECKPOINT.fullmatch(name)]
    for name in commits:
        if reason := _why_no_json_lines(storage.read_bytes(storage.join(log, name))):
            return f"{storage.join(log, name)} is damaged ({reason})"
    for name in checkpoints:
        try:
            read_schema(storage.join(log, name))
        except pa.ArrowInvalid as error:
            return f"{storage.join(log, name)} is damaged ({arrow_reason(error)})"
    versions = [int(name.removesuffix(".json")) for name in commits]
    if versions and not checkpoints:
        versions = [-1, *versions]  # nothing stands in for the first commits
    for earlier, later in pairwise(versions):
        if later != earlier + 1:
            return f"{storage.join(log, f'{earlier + 1:020}.json')} is gone"
    return None


def _why_no_json_lines(content: bytes) -> str | None:
    lines = content.splitlines()
    try:
        if all(isinstance(json.loads(line), dict) for line in lines):
            return None if lines else "it is empty"
    except ValueError as error:
        return str(error)
    return "it holds no actions"
