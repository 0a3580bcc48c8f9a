"""Scores frames with a checkpoint, in batches across videos: one probability per frame and label."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import BATCH_FRAMES, MAX_SCORE_CHANGE, ClassifySettings
from artifactscan.model.probe_windows import FeatureHead

_log = logging.getLogger(__name__)


class Backend(Protocol):
    """Computes the features of frames with a checkpoint's backbone.

    ``device``: "cuda" or "cpu"; ``precision``: "fp32", "bf16" or "int8"; ``notes``: a sentence for each of these that
    was chosen or changed; ``head``: of the same checkpoint.
    """

    device: str
    precision: str
    notes: list[str]
    head: FeatureHead

    def extract(self, batch: np.ndarray, most: int) -> Any:
        """The features of uint8 RGB (n, height, width, 3), in a form that ``collect`` takes; ``most``: the largest n
        that comes. MemoryError where there is no room."""
        ...

    def collect(self, parts: list[Any]) -> np.ndarray:
        """Results of ``extract`` one after the other: float32 (n, features)."""
        ...

    def padded(self, frames: int, most: int) -> int:
        """The size that a batch of ``frames`` is computed as."""
        ...


class Classifier:
    """A checkpoint ready to score frames on one device.

    ``device``: "cuda" or "cpu"; ``precision``: "bf16", "fp32" or "int8"; ``batch_frames``: frames per forward pass;
    ``input``: the checkpoint's InputSpec; ``notes``: one sentence for each of these that was chosen or changed here.
    """

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings | None = None, *, threads: int = 0):
        """Loads the weights and chooses device and precision, in seconds.

        ``settings``: how to run it; None for the defaults. ``threads``: CPU threads; 0 leaves the backend's choice.
        UsageError for weights that do not fit the card, and for device "cuda" without a GPU.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise UsageError(f"checkpoint is {checkpoint!r}; give what load_checkpoint returns")
        if not isinstance(settings, ClassifySettings | None):
            raise UsageError(f"settings are {settings!r}; give ClassifySettings or None")
        settings = settings or ClassifySettings()
        self._backend = _make_backend(checkpoint, settings, threads)
        self.device, self.precision = self._backend.device, self._backend.precision
        self.notes = list(self._backend.notes)
        self.input = checkpoint.card.input
        self.batch_frames = settings.batch_frames or BATCH_FRAMES[self.device]
        self._backbone = checkpoint.card.backbone

    def __repr__(self) -> str:
        size = f"{self.input.height}x{self.input.width} pixels"
        return f"Classifier({self._backbone}, {size}, {self.device}, {self.precision}, batches of {self.batch_frames})"

    def scores(self, frames: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The probability of each label for each frame: float32 (n, 4) from 0 to 1, columns in the order of LABELS.

        ``frames``: uint8 RGB (n, height, width, 3) at the checkpoint's input size, pixels; or a sequence of such
        arrays, one per clip, whose frames are batched together and scored in order. A checkpoint whose card names
        neighbours takes the frames of an array for consecutive sampled frames. A batch that does not fit into memory is
        halved, for all later ones too.

        UsageError for frames of another type or shape, and where the model's scores are not finite; MemoryError where
        not even one frame fits into memory.
        """
        clips: Sequence[Any] = frames if isinstance(frames, list | tuple) else [frames]
        shape = (self.input.height, self.input.width, 3)
        for clip in clips:
            if not isinstance(clip, np.ndarray):
                raise UsageError(f"frames are {type(clip).__name__}; give arrays, as sample_frames(…).frames is one")
            if clip.ndim != 4 or clip.shape[1:] != shape or clip.dtype != np.uint8:
                wanted = ", ".join(map(str, shape))
                raise UsageError(
                    f"frames are {clip.dtype} of shape {clip.shape}; give uint8 RGB of shape (n, {wanted}), which is "
                    "the checkpoint's input"
                )
        parts: list[Any] = []
        for batch in _batches(clips, lambda: self.batch_frames):
            parts += self._extract(batch)
        if not parts:
            return np.empty((0, len(LABELS)), np.float32)
        scores = self._backend.head.scores(self._backend.collect(parts), [len(clip) for clip in clips])
        if not np.isfinite(scores).all():
            raise UsageError(
                f"the checkpoint gives scores that are not numbers, in {self.precision}; "
                "try --precision fp32, or train it again"
            )
        return scores

    def _extract(self, batch: np.ndarray) -> list[Any]:
        """The features of a batch: in one piece, or in smaller ones if it does not fit."""
        try:
            return [self._backend.extract(batch, self.batch_frames)]
        except MemoryError as error:
            self._halve(len(batch), error)
        size = self.batch_frames
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return [part for piece in pieces for part in self._extract(piece)]

    def _halve(self, frames: int, error: MemoryError) -> None:
        tried = self._backend.padded(frames, self.batch_frames)
        if tried == 1:
            raise MemoryError(f"not even one frame fits into the memory of the {self.device}: {error}") from error
        self.batch_frames = tried // 2
        self.notes.append(f"out of memory with {tried} frames per batch: went on with {self.batch_frames}")
        _log.warning(self.notes[-1])


def _make_backend(checkpoint: Checkpoint, settings: ClassifySettings, threads: int) -> Backend:
    """The exported graph of the checkpoint where the settings allow it, else torch, which takes seconds to import."""
    graph, change = checkpoint.graph, None
    if settings.uses_graph(checkpoint):
        from artifactscan.model.openvino_backend import OpenVinoBackend

        backend = OpenVinoBackend(checkpoint, settings, threads=threads)
        if settings.precision != "auto" or backend.change < MAX_SCORE_CHANGE:
            return backend
        change = backend.change
    elif graph is not None and settings.precision == "auto" and graph.info.largest_change >= MAX_SCORE_CHANGE:
        change = graph.info.largest_change
    from artifactscan.model.torch_backend import TorchBackend

    backend = TorchBackend(checkpoint, settings, threads=threads)
    if graph is not None and change is not None:
        backend.notes.append(
            f"torch, not the exported graph in {graph.info.precision}, which moves a score by up to {change:.3f}; "
            f"--precision {graph.info.precision} uses it all the same"
        )
    return backend


def _batches(clips: Sequence[np.ndarray], size: Callable[[], int]) -> Iterator[np.ndarray]:
    """The frames of all clips in batches of at most ``size()``, called before each; copies only across clips."""
    waiting: list[np.ndarray] = []
    for clip in clips:
        while len(clip):
            room = max(1, size() - sum(map(len, waiting)))
            waiting.append(clip[:room])
            clip = clip[room:]
            if sum(map(len, waiting)) >= size():
                yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                waiting = []
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
