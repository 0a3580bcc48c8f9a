"""Which frames are to be judged, and which questions are open."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.frame_index import FrameLookup
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import FrameKey
from artifactscan.storage import storage_errors
from artifactscan.storage.csv_text import read_text_cells
from artifactscan.storage.parquet import arrow_reason, read_table

_COLUMNS = ["file", "frame_index"]


def read_wanted(uri: str, index: pa.Table) -> list[FrameKey]:
    """The frames that a table at ``uri`` names, or all of an INDEX where ``uri`` is empty; sorted.

    UsageError for a table that cannot be read, has no rows, or names a frame that is not in the index.
    """
    if not uri:
        frames = _keys(index)
        if not frames:
            raise UsageError("the index has no frames; extract some first")
        return frames
    try:
        frames = _keys(_read(uri))
    except FileNotFoundError:
        raise UsageError(f"--only {uri} cannot be read: there is no such file") from None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = storage_errors.describe(error, uri) if isinstance(error, OSError) else arrow_reason(error)
        raise UsageError(f"--only {uri} cannot be read: {reason}") from None
    if not frames:
        raise UsageError(f"--only {uri} names no frame; give file and frame_index of those to judge")
    lookup = FrameLookup(index, f"--only {uri}")
    for file, frame_index in frames:
        lookup.check_frame(file, frame_index)
    return frames


def open_asks(asks: pa.Table, answers: pa.Table) -> pa.Table:
    """The ASKS that ANSWERS do not answer."""
    answered = set(zip(*(answers[name].to_pylist() for name in (*_COLUMNS, "ask")), strict=True))
    keys = zip(*(asks[name].to_pylist() for name in (*_COLUMNS, "ask")), strict=True)
    return asks.filter(pa.array([key not in answered for key in keys], pa.bool_()))


def _read(uri: str) -> pa.Table:
    place = storage.normalise(uri)
    if not uri.lower().endswith(".csv"):
        return read_table(place, _COLUMNS)
    files, path = storage.filesystem(place)
    with files.open_input_stream(path) as stream:
        return read_text_cells(stream.read(), needed=_COLUMNS).select(_COLUMNS)


def _keys(table: pa.Table) -> list[FrameKey]:
    """file and frame_index of each frame, once."""
    indices = table["frame_index"]
    if pa.types.is_string(indices.type):  # a CSV's
        indices = pc.if_else(pc.equal(indices, ""), None, indices).cast(pa.float64())
    files, indices = table["file"].cast(pa.string()).to_pylist(), indices.cast(pa.int32()).to_pylist()
    if not all(files) or None in indices:
        raise ValueError("a row has no file or no frame_index")
    return sorted(set(zip(files, indices, strict=True)))
