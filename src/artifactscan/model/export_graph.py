"""Exports the backbone of a checkpoint as a graph that OpenVINO runs, in fp32 or quantised to int8."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from artifactscan.errors import UsageError
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.model.backbone import FeatureExtractor, feature_head, load_model, probe_frames
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.exported_graph import (
    MODEL_NAME,
    REFERENCE_NAME,
    WEIGHTS_NAME,
    ExportedGraph,
    GraphInfo,
    as_npz,
    digest_of_file,
)

MOST_CHANGE_FP32 = 1e-3
"""A graph in fp32 that moves a score by more does not compute what torch does."""
_BATCH = 8


def export_graph(
    checkpoint: Checkpoint,
    *,
    precision: str = "fp32",
    calibration: Sequence[np.ndarray] = (),
    held_out: Sequence[np.ndarray] = (),
) -> ExportedGraph:
    """The checkpoint's backbone as a graph, with how much it moves scores.

    ``precision``: "fp32" or "int8"; ``calibration``: clips, each uint8 RGB (n, height, width, 3), whose frames set the
    ranges of int8; ``held_out``: other clips, on which the change is measured.
    UsageError where OpenVINO, or NNCF for int8, is missing, or cannot convert this backbone.
    """
    openvino = import_openvino()
    model = load_model(checkpoint)
    scorer = feature_head(model, checkpoint.card)
    extractor = FeatureExtractor(model, checkpoint.card).eval()
    reference = probe_frames(checkpoint.card.input)
    shape = [-1, *reference.shape[1:]]
    try:
        with warnings.catch_warnings(action="ignore"):  # of tracing, whose result is compared with torch below
            graph = openvino.convert_model(extractor, example_input=torch.from_numpy(reference[:2]), input=[shape])
    except Exception as error:  # whatever its converter raises for an operation that it does not know
        raise UsageError(
            f"OpenVINO {openvino.__version__} cannot convert {checkpoint.card.backbone}: {_first_line(error)}; "
            "score with torch, which the checkpoint works with as it is"
        ) from error
    if precision == "int8":
        graph = _quantise(graph, calibration)
    run = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    changes, expected = [], np.empty(0)
    for frames, lengths in [
        (reference, [1] * len(reference)),
        *((clip, [len(clip)]) for clip in held_out),
    ]:
        exact = scorer.scores(_by_torch(extractor, frames), lengths)
        changes.append(np.abs(scorer.scores(_by_graph(run, frames), lengths) - exact).ravel())
        expected = expected if expected.size else exact
    change = np.concatenate(changes)
    if precision == "fp32" and not change.max() <= MOST_CHANGE_FP32:
        raise UsageError(
            f"the graph of {checkpoint.card.backbone} moves a score by {change.max():.3g} in fp32: it does not compute "
            "what torch does; score with torch"
        )
    xml, weights = _serialise(openvino, graph)
    arrays = as_npz(head_weight=scorer.weight, head_bias=scorer.bias, frames=reference, scores=expected)
    files = {MODEL_NAME: xml, WEIGHTS_NAME: weights, REFERENCE_NAME: arrays}
    info = GraphInfo(
        checkpoint=checkpoint.digest,
        precision=precision,
        openvino=openvino.__version__,
        torch=torch.__version__,
        frames=sum(map(len, held_out)),
        largest_change=float(change.max()),
        mean_change=float(change.mean()),
        files={name: digest_of_file(data) for name, data in files.items()},
    )
    return ExportedGraph(info=info, model=xml, weights=weights, reference=arrays)


def import_openvino() -> Any:
    """The package openvino; UsageError where it is missing."""
    # Its converter reports its use to a server of the maker's, unless that package is missing.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    try:
        import openvino
    except ModuleNotFoundError:
        raise UsageError("exporting needs OpenVINO: pip install 'artifactscan[export]'") from None
    return openvino


def _quantise(graph: Any, clips: Sequence[np.ndarray]) -> Any:
    """The graph with weights and activations in int8, their ranges set by the frames of ``clips``."""
    try:
        import nncf
    except ModuleNotFoundError:
        raise UsageError("exporting in int8 needs NNCF: pip install 'artifactscan[export]'") from None
    frames = [frame[None] for clip in clips for frame in clip]
    if not frames:
        raise UsageError("int8 needs frames to set its ranges by; give --calibrate CLIPS")
    with redirect_stdout(sys.stderr):  # for its progress
        return nncf.quantize(
            graph,
            nncf.Dataset(frames),
            subset_size=len(frames),
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,  # slower; halves the largest change of a score
        )


def _by_torch(extractor: nn.Module, frames: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        batches = torch.from_numpy(frames).split(_BATCH)
        return torch.cat([extractor(batch) for batch in batches]).numpy()


def _by_graph(run: Any, frames: np.ndarray) -> np.ndarray:
    return np.concatenate([np.array(run([frames[at : at + _BATCH]])[0]) for at in range(0, len(frames), _BATCH)])


def _serialise(openvino: Any, graph: Any) -> tuple[bytes, bytes]:
    """The contents of graph.xml and graph.bin."""
    with temporary_folder() as folder:
        path = Path(folder, MODEL_NAME)
        openvino.save_model(graph, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
