"""Labels tables joined with their clips: the labelled frames, and the object that holds each clip."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.labels_table import check_against_clips, merge_labels, read_labels, split_by_annotator
from artifactscan.annotation.merge_rows import Rule
from artifactscan.corpus.path_pattern import check_pattern, match_paths, pattern_names
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY, SEVERITY_COLUMNS
from artifactscan.messages.text import printable
from artifactscan.storage import storage_errors
from artifactscan.storage.digest import digest

_STAT_THREADS = 32


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The object that a label's ``file`` names."""

    uri: str
    etag: str
    size_bytes: int

    @property
    def name(self) -> str:
        """Identifies the clip in any location: a copy in another bucket has the same name."""
        return f"{self.uri.rpartition('/')[2]} ({self.size_bytes} bytes)"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledFrames:
    """Labelled frames, sorted by file and frame index, then synthetic ones; row numbers count from 0 in this order."""

    table: pa.Table
    """LABELLED, each frame once."""
    clips: dict[str, Clip]
    """By file."""
    annotators: Mapping[str, pa.Table] = field(default_factory=dict)
    """Graded rows before they were merged, LABELLED, by annotator or by the labels table of those who are not named."""

    @property
    def files(self) -> list[str]:
        return self.table["file"].to_pylist()

    @property
    def y(self) -> np.ndarray:
        """int8 (frames, labels)."""
        return np.stack([self.table[label].to_numpy() for label in LABELS], axis=1)

    @property
    def graded(self) -> bool:
        """Whether any frame has grades."""
        return any(self.table[column].null_count < self.table.num_rows for column in SEVERITY_COLUMNS)

    @property
    def targets(self) -> np.ndarray:
        """float32 (frames, labels) in 0..1, to train on: severity / MAX_SEVERITY of a graded frame, else its labels."""
        severities = np.stack([self.table[column].to_numpy() for column in SEVERITY_COLUMNS], axis=1)
        return np.where(np.isnan(severities), self.y, severities / MAX_SEVERITY).astype(np.float32)

    def makers(self, pattern: str = "") -> tuple[str, ...] | None:
        """What made the clip of each frame, empty where that is not known; None where no clip's maker is known.

        From column ``generator``, else from the name {generator} in a pattern of the clips' paths. UsageError for a
        clip with two makers, and for a pattern that no path matches or that does not name {generator}.
        """
        told: list[str | None] = self.table["generator"].to_pylist()
        if pattern:
            check_pattern(pattern, "--generator-pattern")
            if "generator" not in pattern_names(pattern):
                raise UsageError(
                    f"--generator-pattern {pattern!r} does not name {{generator}}; write it where it stands"
                )
            matched = match_paths(pattern, self.table["file"].combine_chunks())["generator"].to_pylist()
            if not any(matched):
                raise UsageError(
                    f"--generator-pattern {pattern!r} matches no clip, such as {printable(self.files[0], 80)}; it "
                    "stands for the path in column `file`, from its beginning to the end of a folder or of the name"
                )
            told = [one or other for one, other in zip(told, matched, strict=True)]
        first: dict[str, str] = {}
        for file, maker in zip(self.files, told, strict=True):
            if maker and first.setdefault(file, maker) != maker:
                raise UsageError(
                    f"labels name two generators of {printable(file, 80)}, {printable(first[file], 80)} and "
                    f"{printable(maker, 80)}; keep the one that holds"
                )
        return tuple(first.get(file, "") for file in self.files) if first else None

    def maker_of_file(self, pattern: str = "") -> dict[str, str]:
        """File → what made it, of the clips where that is known; UsageError as ``makers``."""
        makers = self.makers(pattern) or ()
        return {file: maker for file, maker in zip(self.files, makers, strict=bool(makers)) if maker}

    @property
    def digest(self) -> str:
        """16 hex digits of the labels and grades; does not depend on where the clips are stored."""
        names = ("file", "frame_index", *LABELS, *(SEVERITY_COLUMNS if self.graded else ()))
        if self.table["generator"].null_count < self.table.num_rows:
            names = (*names, "generator")
        return digest([self.table[name].to_pylist() for name in names])


def label_inputs(labels: Sequence[str], clips: Sequence[str]) -> list[tuple[str, str]]:
    """What `load_labelled_frames` reads: pairs of the flag and the table or folder; where no folder of clips is given,
    the ones that the tables lie in."""
    folders = [("--clips", folder) for folder in clips]
    own = [source for source in labels if not storage.is_hub(source)]
    beside = [("the folder of --labels", storage.normalise(source).rpartition("/")[0]) for source in own]
    return [*(("--labels", source) for source in labels), *(folders or beside)]


def load_labelled_frames(labels: Sequence[str], clips: Sequence[str], *, rule: Rule = "error") -> LabelledFrames:
    """Reads labels tables and finds their clips.

    ``clips``: a folder or s3:// prefix for each table in ``labels``, one for all of them, or none: then the folder that
    a table lies in. A file's path starts from that folder, or from the one above it where it begins with the folder's
    own name. ``rule`` decides on frames that are labelled more than once; grades of several annotators are averaged.
    UsageError for tables that cannot be used, for missing clips, for two clips under one name and for one clip under
    two.
    """
    if not labels:
        raise UsageError("no labels are given; name a .csv or .parquet table with --labels")
    if len(clips) not in (0, 1, len(labels)):
        raise UsageError(
            f"--clips names {len(clips)} folders for {len(labels)} --labels; give one for each, or one for all of them"
        )
    if not clips and (there := [source for source in labels if storage.is_hub(source)]):
        raise UsageError(f"--labels {there[0]} are on a hub, and the clips are not; give their folder with --clips")
    tables = [read_labels(uri, rule="keep") for uri in labels]
    uris: dict[str, str] = {}
    names: dict[str, str] = {}
    for number, (table, source) in enumerate(zip(tables, labels, strict=True)):
        root = clips[min(number, len(clips) - 1)] if clips else storage.normalise(source).rpartition("/")[0]
        for file, uri in check_against_clips(table, root).items():
            if uris.setdefault(file, uri) != uri:
                raise UsageError(
                    f"labels {source} name a clip {file!r}, {uri}, and so do others before it, {uris[file]}; "
                    "rename one of the two"
                )
            if (other := names.setdefault(uri, file)) != file:
                raise UsageError(
                    f"labels name the clip {uri} twice, as {other!r} and {file!r}; use one of the two names"
                )
    merged = merge_labels(tables, rule=rule, source=", ".join(labels))
    if not merged.num_rows:
        raise UsageError(f"labels {', '.join(labels)} have no rows; label at least some frames")
    with ThreadPoolExecutor(_STAT_THREADS) as pool:
        found = dict(zip(uris, pool.map(_stat_clip, uris.values()), strict=True))
    return LabelledFrames(table=merged, clips=found, annotators=_graded_rows(tables, labels))


def _graded_rows(tables: Sequence[pa.Table], sources: Sequence[str]) -> dict[str, pa.Table]:
    """Annotator → graded rows, without those of annotators who are not named and share a table."""
    found: dict[str, list[pa.Table]] = {}
    for table, source in zip(tables, sources, strict=True):
        for name, rows in split_by_annotator(table, source).items():
            graded = rows.filter(pc.is_valid(rows[SEVERITY_COLUMNS[0]]))
            frames = set(zip(graded["file"].to_pylist(), graded["frame_index"].to_pylist(), strict=True))
            if graded.num_rows and len(frames) == graded.num_rows:
                found.setdefault(name, []).append(graded)
    return {name: pa.concat_tables(of_name) for name, of_name in found.items()}


def _stat_clip(uri: str) -> Clip:
    try:
        stat = storage.stat(uri)
    except OSError as error:
        raise UsageError(f"clip {uri} cannot be read: {storage_errors.describe(error, uri)}") from None
    return Clip(uri=uri, etag=stat.etag, size_bytes=stat.size_bytes)
