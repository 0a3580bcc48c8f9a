"""A checkpoint's backbone as an exported graph, which a CPU runs without torch: files beside the checkpoint's own.

graph.xml and graph.bin are OpenVINO's intermediate representation, from uint8 RGB frames (n, height, width, 3) to
features, float32 (n, features); graph.npz has the head and what torch gives in fp32 for a few frames; graph.json,
written last, says what it was exported from, and how much it moves scores.
"""

import io
import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any

import numpy as np

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.storage import storage_errors
from artifactscan.storage.digest import digest

GRAPH_VERSION = 1
INFO_NAME, MODEL_NAME, WEIGHTS_NAME, REFERENCE_NAME = "graph.json", "graph.xml", "graph.bin", "graph.npz"
GRAPH_NAMES = (MODEL_NAME, WEIGHTS_NAME, REFERENCE_NAME, INFO_NAME)
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """What graph.json says."""

    checkpoint: str
    """Digest of the checkpoint that it was exported from."""
    precision: str
    """One of PRECISIONS: of the weights and activations of most layers."""
    openvino: str
    """Version that exported it."""
    torch: str
    """Version that it was exported from."""
    frames: int
    """Frames of clips, not used for calibration, on which the change was measured; 0: none."""
    largest_change: float
    """The largest difference of a score to torch in fp32, on those frames and the reference frames."""
    mean_change: float
    """The mean of these differences."""
    files: dict[str, str]
    """File name → SHA-256."""
    graph_version: int = GRAPH_VERSION


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportedGraph:
    """An exported graph in memory; picklable, so that Ray can hand it to actors."""

    info: GraphInfo
    model: bytes
    """The content of graph.xml."""
    weights: bytes
    """The content of graph.bin."""
    reference: bytes
    """The content of graph.npz."""

    @property
    def digest(self) -> str:
        """8 hex digits over all that its scores depend on."""
        return digest([self.info.precision, self.info.files])[:8]

    def arrays(self) -> dict[str, np.ndarray]:
        """head_weight and head_bias; frames, uint8 RGB, and their scores by torch in fp32."""
        with np.load(io.BytesIO(self.reference), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def as_npz(**arrays: np.ndarray) -> bytes:
    """``arrays`` as the content of graph.npz."""
    box = io.BytesIO()
    np.savez_compressed(box, **arrays)  # type: ignore[arg-type]
    return box.getvalue()


def digest_of_file(data: bytes) -> str:
    """As GraphInfo.files has it."""
    return sha256(data).hexdigest()


def load_graph(folder: str, checkpoint_digest: str) -> ExportedGraph | None:
    """The graph in a checkpoint folder; None where there is none.

    UsageError where it is damaged, made by a newer version, or exported from another checkpoint than the folder's.
    """
    uri = storage.join(folder, INFO_NAME)
    again = f"remove {INFO_NAME} there, or export the checkpoint again"
    try:
        found = storage.read_bytes(uri)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None  # S3 answers 403 for an object that is not there to whoever may not list the bucket
    except OSError as error:
        raise UsageError(f"exported graph {uri} cannot be read: {storage_errors.describe(error, uri)}") from None
    try:
        info = _parse(found)
        files = {name: storage.read_bytes(storage.join(folder, name)) for name in info.files}
    except OSError as error:
        raise UsageError(f"exported graph {uri} lacks a file ({storage_errors.describe(error)}); {again}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"exported graph {uri} cannot be used: {error}; {again}") from None
    for name, data in files.items():
        if digest_of_file(data) != info.files[name]:
            raise UsageError(f"exported graph {storage.join(folder, name)} is damaged or cut off; copy it again")
    if info.checkpoint != checkpoint_digest:
        raise UsageError(
            f"exported graph {uri} was made from checkpoint {info.checkpoint}, and the folder holds "
            f"{checkpoint_digest}; {again}"
        )
    return ExportedGraph(
        info=info, model=files[MODEL_NAME], weights=files[WEIGHTS_NAME], reference=files[REFERENCE_NAME]
    )


def graph_files(graph: ExportedGraph) -> dict[str, bytes]:
    """Name → content of the graph's files, in the order in which they are written: graph.json last."""
    return {
        MODEL_NAME: graph.model,
        WEIGHTS_NAME: graph.weights,
        REFERENCE_NAME: graph.reference,
        INFO_NAME: json.dumps(asdict(graph.info), indent=2).encode(),
    }


def save_graph(graph: ExportedGraph, folder: str) -> None:
    """Writes the graph's files into a checkpoint folder, graph.json last; OSError where that fails.

    Until then the folder is a checkpoint without a graph.
    """
    storage.remove_tree(storage.join(folder, INFO_NAME))
    for name, data in graph_files(graph).items():
        storage.write_bytes(storage.join(folder, name), data)


def _parse(data: bytes) -> GraphInfo:
    """GraphInfo of graph.json; ValueError, TypeError or KeyError for another."""
    values: Any = json.loads(data)
    if not isinstance(values, dict):
        raise TypeError(f"it holds {type(values).__name__}, not an object")
    if (version := values["graph_version"]) != GRAPH_VERSION:
        raise ValueError(f"its version is {version}, this artifactscan reads {GRAPH_VERSION}")
    if set(values) != {field.name for field in fields(GraphInfo)}:
        raise ValueError("its fields are not those of a graph")
    info = GraphInfo(**values)
    if info.precision not in PRECISIONS:
        raise ValueError(f"its precision is {info.precision!r}, not one of {', '.join(PRECISIONS)}")
    if set(info.files) != {MODEL_NAME, WEIGHTS_NAME, REFERENCE_NAME}:
        raise ValueError(f"its files are {', '.join(sorted(info.files))}")
    if not isinstance(info.largest_change, int | float):
        raise TypeError(f"its largest_change is {info.largest_change!r}")
    return info
