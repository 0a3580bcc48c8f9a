"""The index of an export of events: which frames of which clips were sampled, and so can be labelled.

Labelling tools give segments of a clip back; a sampled frame shows the labels of the segments that cover it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from artifactscan.annotation.frame_index import not_in_the_index
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS
from artifactscan.messages.text import printable

VIDEO_INDEX = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field("fps", pa.float64()),
        pa.field("written", pa.string()),
    ]
)
"""One row per sampled frame, those of a clip together and in order. ``file``: the clip's path below the corpus, as the
labels table has it; ``fps``: the clip's frame rate, null where it is not known; ``written``: path below the export's
folder of the file that is of this clip alone, null where a target has none."""

INDEX_NAME = "index.parquet"


class LabelledSegment(NamedTuple):
    """A stretch of a clip with a label; ``first`` and ``last`` belong to it and count frames as the tool does."""

    label: str
    first: int
    last: int


@dataclass(frozen=True)
class Clip:
    """The sampled frames of one clip."""

    file: str
    frame_index: np.ndarray
    """int32 (frames,)."""
    pts_s: np.ndarray
    """float64 (frames,)."""
    fps: float | None


class VideoLookup:
    """Finds the clips of a VIDEO_INDEX by the names that labelling tools return."""

    def __init__(self, index: pa.Table, source: str):
        """``index``: a VIDEO_INDEX; ``source``: the file that the names come from, for errors."""
        self.source = source
        self._table = table = index
        codes = table["file"].combine_chunks().dictionary_encode()
        numbers = codes.indices.to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]]) if len(numbers) else np.zeros(0, np.int64)
        stops = [*starts[1:].tolist(), len(numbers)] if len(numbers) else []
        files = codes.dictionary.to_pylist()
        self._rows = {files[numbers[a]]: slice(a, b) for a, b in zip(starts.tolist(), stops, strict=True)}
        self._index, self._pts_s = table["frame_index"].to_numpy(), table["pts_s"].to_numpy()
        self._by_name: dict[str, list[str]] = {}
        for file in self._rows:
            self._by_name.setdefault(file.rpartition("/")[2], []).append(file)

    @property
    def files(self) -> Collection[str]:
        """All clips of the index."""
        return self._rows.keys()

    def find(self, file: str) -> Clip:
        """The clip that is named as the export named it; UsageError where the index has none of that name."""
        if file not in self._rows:
            raise self._not_there(file)
        return self._clip(file)

    def find_by_name(self, *names: str | None) -> Clip:
        """The clip of the first of ``names`` that the export gave, or that is the file name of one clip alone.

        For tools in which people name clips. A name with a folder is that of the clip in this folder only. UsageError
        where no name is.
        """
        given = [name for name in names if name]
        alike: list[str] = []
        for name in given:
            if any(other.endswith(f"/{name}") for other in given):
                continue  # the other one says in which folder
            found = [name] if name in self._rows else self._by_name.get(name, [])
            if len(found) == 1:
                return self._clip(found[0])
            alike = alike or found
        shown = " or ".join(given)
        if not alike:
            raise self._not_there(shown)
        raise UsageError(
            f"{self.source} names the clip '{printable(shown, 80)}', and {len(alike)} clips of the index have that "
            f"name; name it by its path, such as {printable(alike[0], 80)}"
        )

    def _not_there(self, name: str) -> UsageError:
        return UsageError(
            f"{self.source} names the clip '{printable(name, 80)}', which is not in the index; give the index of the "
            "export that was labelled"
        )

    def check_frame(self, file: str, frame_index: int) -> None:
        """UsageError for a clip or a frame of it that is not in the index."""
        rows = self._rows.get(file)
        known = () if rows is None else self._index[rows].tolist()
        if frame_index not in known:
            raise not_in_the_index(self.source, file, frame_index, known)

    def rows(
        self,
        clip: Clip,
        numbers: np.ndarray,
        segments: Iterable[LabelledSegment],
        *,
        annotator: str | None = None,
        note: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Rows of the labels table for every sampled frame of a clip that a person looked at.

        ``numbers``: int (frames,), the sampled frames as the tool counts them, by which segments cover them. UsageError
        for an unknown label and for a segment that ends before it begins.
        """
        shown = np.zeros((len(LABELS), len(numbers)), bool)
        for label, first, last in segments:
            if label not in LABELS:
                raise UsageError(
                    f"{self.source} gives the clip '{printable(clip.file, 80)}' the label '{printable(label, 40)}', "
                    f"which is none of {', '.join(LABELS)}; rename it in the tool and export again"
                )
            if last < first:
                raise UsageError(
                    f"{self.source} has a segment {label} of the clip '{printable(clip.file, 80)}' that ends at frame "
                    f"{last}, before it begins at {first}; correct it in the tool and export again"
                )
            shown[LABELS.index(label)] |= (numbers >= first) & (numbers <= last)
        for frame, votes in zip(clip.frame_index.tolist(), shown.T.tolist(), strict=True):
            yield {
                "file": clip.file,
                "frame_index": frame,
                **dict(zip(LABELS, map(int, votes), strict=True)),
                **dict.fromkeys(SEVERITY_COLUMNS),
                "annotator": annotator or None,
                "note": note or None,
                "generator": None,
            }

    def _clip(self, file: str) -> Clip:
        rows = self._rows[file]
        fps = self._table["fps"][rows.start].as_py()
        return Clip(file, self._index[rows], self._pts_s[rows], fps)
