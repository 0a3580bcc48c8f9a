"""The folder of an export of events: what is in it, what may be written over, and what commits it.

export.json     what is exported, and for which tool; written first, so that the same command may write again
index.parquet   VIDEO_INDEX: the sampled frames, by which labels are imported; written last
begun.parquet   names of clips' files that an export which has not ended may have left; read by the next one
lease.json      the job that writes now
and the files of the tool
"""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifactscan import storage
from artifactscan.annotation.video_index import INDEX_NAME, VIDEO_INDEX
from artifactscan.errors import UsageError
from artifactscan.export.events.scored_video import ScoredVideo
from artifactscan.export.target_place import RECORD_NAME, holds_something_else, names_in
from artifactscan.messages.text import printable
from artifactscan.storage.lease import LEASE_NAME
from artifactscan.storage.parquet import DamagedTableError, read_batches, write_table

BEGUN_NAME = "begun.parquet"
_BEGUN = pa.schema([pa.field("written", pa.string(), nullable=False)])
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class ExportRecord:
    """What export.json says: an export of something else is not written over."""

    to: str
    store: str
    spec: str
    """Digest of the spec."""


@dataclass(frozen=True)
class TargetFolder:
    """The folder or s3:// prefix that an export is written to."""

    root: str
    record: ExportRecord

    @property
    def lease(self) -> str:
        return storage.join(self.root, LEASE_NAME)

    def path(self, name: str) -> str:
        return storage.join(self.root, name)

    def check(self) -> None:
        """UsageError where the folder holds anything but an earlier export of the same, or the start of one.

        OSError of the storage.
        """
        names = names_in(self.root)
        if not names:
            return
        if RECORD_NAME not in names:
            raise holds_something_else(self.root, names)
        try:
            there = ExportRecord(**json.loads(storage.read_bytes(self.path(RECORD_NAME))))
        except (ValueError, TypeError):
            raise UsageError(
                f"{self.path(RECORD_NAME)} is not the record of an export; give --output a folder of its own"
            ) from None
        for name, value in asdict(self.record).items():
            if (before := getattr(there, name)) != value:
                what = {"to": "an export to", "store": "an export of the store", "spec": "an export of the spec"}[name]
                raise UsageError(
                    f"--output {self.root} holds {what} {printable(str(before))}, not {value}, by which somebody may "
                    "be labelling; give another folder"
                )

    def begin(self, names: Collection[str]) -> set[str]:
        """Writes export.json, takes the index away, and returns the names of clips' files that may be there.

        ``names``: of the clips' files to write. Should this export be killed, the next one finds what it has left.
        """
        left = self._names_in(INDEX_NAME) | self._names_in(BEGUN_NAME)
        storage.write_bytes(self.path(RECORD_NAME), json.dumps(asdict(self.record), indent=1).encode())
        if begun := sorted(left.union(names)):
            write_table(pa.table({"written": begun}, _BEGUN), self.path(BEGUN_NAME))
        storage.remove_tree(self.path(INDEX_NAME))
        return left

    def remove_unfinished(self, names: Iterable[str]) -> None:
        """Removes what a killed export has left unfinished in the folders of clips' files, to which only one writes.

        Folders that are links lead elsewhere, and are left alone.
        """
        below = {str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."}
        for folder in () if storage.is_remote(self.root) else sorted(below):
            path = Path(self.root, folder)
            if path.is_dir() and path.resolve() == Path(self.root).resolve() / folder:
                for file in storage.unfinished_files(str(path)):
                    storage.remove_file(file)

    def end(self) -> None:
        """Forgets what `begin` noted: the index says it by now."""
        storage.remove_file(self.path(BEGUN_NAME))

    def _names_in(self, table: str) -> set[str]:
        try:
            batches = list(read_batches(self.path(table), ["written"]))
        except (FileNotFoundError, DamagedTableError):
            return set()
        return {name for batch in batches for name in batch["written"].unique().to_pylist() if name}


class IndexWriter:
    """Collects the index rows of videos as they are written."""

    def __init__(self, writer: pq.ParquetWriter):
        self._writer = writer
        self._videos: list[tuple[ScoredVideo, str | None]] = []
        self._rows = 0

    def add(self, video: ScoredVideo, written: str | None) -> None:
        """``written``: the file of this video alone, below the folder."""
        self._videos.append((video, written))
        self._rows += len(video.frame_index)
        if self._rows >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if not self._videos:
            return
        videos = [video for video, _ in self._videos]
        of_video = pa.array(np.repeat(np.arange(len(videos)), [len(video.frame_index) for video in videos]))
        once = {
            "video_id": pa.array([video.video_id for video in videos], pa.string()),
            "uri": pa.array([video.uri for video in videos], pa.string()),
            "file": pa.array([video.file for video in videos], pa.string()),
            "fps": pa.array([video.fps for video in videos], pa.float64()),
            "written": pa.array([written for _, written in self._videos], pa.string()),
        }
        columns = {name: values.take(of_video) for name, values in once.items()}
        columns["frame_index"] = pa.array(np.concatenate([video.frame_index for video in videos]), pa.int32())
        columns["pts_s"] = pa.array(np.concatenate([video.pts_s for video in videos]), pa.float64())
        self._writer.write_table(pa.table({name: columns[name] for name in VIDEO_INDEX.names}, schema=VIDEO_INDEX))
        self._videos, self._rows = [], 0


@contextmanager
def write_index(folder: TargetFolder) -> Iterator[IndexWriter]:
    """The index of an export; it is there once the block has ended without an error."""
    with (
        storage.open_to_write(folder.path(INDEX_NAME)) as file,
        pq.ParquetWriter(file, VIDEO_INDEX, compression="zstd") as writer,
    ):
        index = IndexWriter(writer)
        yield index
        index.flush()
