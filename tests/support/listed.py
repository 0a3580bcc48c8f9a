"""Helpers for tests of listing: unusual names, and a complete listing as a table."""

import os
from pathlib import Path

import pyarrow as pa

from artifactscan.corpus.listing import Listing, ListSettings, list_corpus
from artifactscan.corpus.manifest import BATCH_ROWS
from artifactscan.schemas import LISTING

ODD_NAMES = [
    "a b.mp4",
    "'q\"uote'.mp4",
    "%2F.mp4",
    "#.mp4",
    "?.mp4",
    "+&<>.mp4",
    "-dash.mp4",
    "видео 動画.mp4",
    "\\n.mp4",
]


def list_all(input: object, **settings: object) -> tuple[pa.Table, Listing]:
    listing = list_corpus(str(input), ListSettings(**settings))  # type: ignore[arg-type]
    batches = list(listing)
    assert all(batch.schema == LISTING and 0 < batch.num_rows <= BATCH_ROWS for batch in batches)
    table = pa.Table.from_batches(batches, LISTING)
    assert listing.available == table.num_rows
    assert len(set(table["video_id"].to_pylist())) == table.num_rows
    return table, listing


def uris(input: object, **settings: object) -> list[str]:
    return list_all(input, **settings)[0]["uri"].to_pylist()


def names(input: object, **settings: object) -> list[str]:
    """The uris below the input."""
    return [uri.removeprefix(str(input)).lstrip("/") for uri in uris(input, **settings)]


def make(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(os.fsencode(path))
    return folder
