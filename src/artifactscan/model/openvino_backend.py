"""Runs the exported graph of a checkpoint with OpenVINO on the CPU."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE, ClassifySettings
from artifactscan.model.cpu import has_fast_bf16
from artifactscan.model.exported_graph import ExportedGraph
from artifactscan.model.probe_windows import FeatureHead

MISSING = (
    "the checkpoint has an exported graph, which needs OpenVINO: pip install 'artifactscan[openvino]', or give "
    "--device cuda or a folder without graph.json"
)


def backend_name(graph: ExportedGraph) -> str:
    """Spec.backend of scores by this graph here; UsageError where OpenVINO is not installed."""
    try:
        installed = version("openvino")
    except PackageNotFoundError:
        raise UsageError(MISSING) from None
    return f"openvino {installed}, graph {graph.digest}"


class OpenVinoBackend:
    """The exported graph on the CPU; see Backend. ``change``: the largest of a score of the reference frames here, or
    that was measured when it was exported."""

    device = "cpu"

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings, *, threads: int = 0):
        """UsageError where OpenVINO is not installed, not that of the job, or cannot read the graph, and where the
        graph does not compute here what it did where it was exported."""
        assert checkpoint.graph is not None
        here = backend_name(checkpoint.graph)
        if settings.backend not in (None, here):
            raise UsageError(
                f"node {platform.node()} has {here}, the job {settings.backend}; install the same OpenVINO on all nodes"
            )
        import openvino

        self._graph, self._threads = checkpoint.graph, threads
        arrays = self._graph.arrays()
        self.head = FeatureHead(arrays["head_weight"], arrays["head_bias"], checkpoint.card)
        self._frames, self._expected = arrays["frames"], arrays["scores"]
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(model=self._graph.model, weights=self._graph.weights)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"OpenVINO {openvino.__version__} cannot read the exported graph ({reason}); export it again"
            ) from None
        self.precision, self._run = "fp32", self._compile("f32")
        self.change = max(self._measure(), self._graph.info.largest_change)
        if self._graph.info.precision == "int8":
            self.precision = "int8"
        elif settings.precision == "bf16" or (settings.precision == "auto" and has_fast_bf16()):
            self._try_bf16(settings)
        if settings.backend is not None and settings.precision == "auto" and not self.change < MAX_SCORE_CHANGE:
            raise UsageError(
                f"the exported graph moves a score by {self.change:.3f} on node {platform.node()}; score with the "
                "checkpoint without graph.json, or export it again with the OpenVINO that is installed here"
            )
        self.notes = [f"{self.precision} by OpenVINO, which moves a score by up to {self.change:.4f}"]

    def extract(self, batch: np.ndarray, most: int) -> np.ndarray:
        """The features of a batch, float32 (n, features)."""
        return np.array(self._run([np.ascontiguousarray(batch)])[0])

    def collect(self, parts: list[np.ndarray]) -> np.ndarray:
        """Results of ``extract`` one after the other."""
        return np.concatenate(parts)

    def padded(self, frames: int, most: int) -> int:
        """``frames``: any size is computed as it is."""
        return frames

    def _compile(self, precision: str) -> Any:
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if self._threads:
            settings["INFERENCE_NUM_THREADS"] = self._threads
        return self._core.compile_model(self._model, "CPU", settings)

    def _try_bf16(self, settings: ClassifySettings) -> None:
        """Switches to bf16, unless precision is auto and that moves a score too much."""
        run = self._compile("bf16")
        if "bf" not in str(run.get_property("INFERENCE_PRECISION_HINT")):
            return  # this processor has none
        exact, self._run = self._run, run
        change = self._measure()
        if settings.precision == "auto" and not change < MAX_SCORE_CHANGE:  # NaN is no small change
            self._run = exact
        else:
            self.precision, self.change = "bf16", change

    def _measure(self) -> float:
        """The largest difference of a score of the reference frames to torch in fp32."""
        scores = self.head.scores(self.extract(self._frames, len(self._frames)), [1] * len(self._frames))
        return float(np.abs(scores - self._expected).max())
