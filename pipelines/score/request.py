"""What one call of the scoring job is to do, and the digests by which its runs are found again."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from artifactscan import storage
from artifactscan.decode.video import DecodeSettings, decoders_to_try
from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.model.openvino_backend import backend_name
from artifactscan.scoring.frame_costs import FrameCosts, measured_frame_costs
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.spec import Spec
from artifactscan.storage.digest import digest
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord, StoredRuns


@dataclass(frozen=True)
class Request:
    """The settings that a run is identified by, as digests."""

    spec: Spec
    """Runs of one spec reuse each other's scores."""
    scope: str
    """Digest of the input and its filters."""
    limits: str
    """Digest of the decoding limits."""

    @cached_property
    def digest(self) -> str:
        """A run that was cut off is continued by the same request."""
        return digest([self.spec.digest, self.scope, self.limits])


def make_request(settings: ScoreSettings, checkpoint: Checkpoint) -> Request:
    """The request that ``settings`` make with ``checkpoint``."""
    spec = Spec(
        sample_fps=settings.sample_fps,
        decoder=_decoder(settings.decoder),
        precision=settings.precision,
        backend=_backend(settings, checkpoint),
        input=checkpoint.card.input,
        checkpoint_digest=checkpoint.digest,
    )
    scope = digest([storage.normalise(settings.input), asdict(settings.listing())])
    return Request(spec=spec, scope=scope, limits=digest(asdict(settings.limits())))


def _decoder(choice: str) -> str:
    """Spec.decoder; UsageError for nvdec where torchcodec is not installed."""
    if choice != "nvdec":
        return choice
    try:
        return f"nvdec by torchcodec {version('torchcodec')}"
    except PackageNotFoundError:
        raise UsageError("--decoder nvdec needs torchcodec: pip install 'artifactscan[nvdec]'") from None


def _backend(settings: ScoreSettings, checkpoint: Checkpoint) -> str | None:
    """Spec.backend; UsageError where the exported graph is to be run and OpenVINO is not installed."""
    if checkpoint.graph is None or not settings.classifying().uses_graph(checkpoint):
        return None
    return backend_name(checkpoint.graph)


def note_on_graph(settings: ScoreSettings, spec: Spec) -> str | None:
    """That a GPU stays unused as the checkpoint has a graph for CPUs; None where no GPU was to be looked for."""
    if spec.backend is None or settings.device != "auto":
        return None
    return "the checkpoint's exported graph runs on the CPU; with --device cuda it is scored by torch on a GPU"


def note_on_decoders(settings: ScoreSettings) -> str | None:
    """That ``--decoder auto`` is one decoder only on this machine; None where it is both, or one was named."""
    if settings.decoder != "auto" or len(decoders_to_try("auto")) > 1:
        return None
    return "decord is not installed here: a video that pyav cannot decode is tried by no second decoder"


@dataclass(frozen=True)
class ScoringJob:
    """One call of the scoring job: its settings, checkpoint and store, and the runs found there."""

    settings: ScoreSettings
    store: Store
    checkpoint: Checkpoint
    out: Console
    earlier: tuple[RunRecord, ...] = ()
    """The committed runs of the store, oldest first."""

    @property
    def device(self) -> str:
        """The device setting, or cpu where the checkpoint's exported graph is run."""
        return self.settings.device if self.request.spec.backend is None else "cpu"

    @property
    def decodes_on_gpu(self) -> bool:
        """Whether its decoders need a GPU."""
        return self.settings.decoder == "nvdec"

    def decoding(self) -> DecodeSettings:
        """How an executor's decoders run."""
        card = self.checkpoint.card
        return self.settings.decoding(card.input, context_frames=card.context_frames)

    def classifying(self, device: str) -> ClassifySettings:
        """How an executor's classifiers run, on the device that it has chosen."""
        return replace(self.settings.classifying().on(device), backend=self.request.spec.backend)

    @cached_property
    def request(self) -> Request:
        """By which the job's runs are found again."""
        return make_request(self.settings, self.checkpoint)

    def with_runs(self, stored: StoredRuns) -> "ScoringJob":
        """The same job once its store was read: it goes on under the digest that the store has the scores under."""
        checkpoint = self.checkpoint.known_in(run.checkpoint for run in reversed(stored.committed))
        job = replace(self, checkpoint=checkpoint, earlier=stored.committed)
        if any(run.checkpoint.get("digest") == checkpoint.digest for run in stored.committed):
            return job
        # Version 0.1.0 may have begun a run and committed none.
        older = replace(job, checkpoint=replace(checkpoint, known_as=checkpoint.digest_with_thresholds()))
        return older if older.cut_off_run(stored) else job

    def cut_off_run(self, stored: StoredRuns) -> str | None:
        """The latest run of the same request that was cut off, or None."""
        return self.store.find_unfinished(self.request.digest, stored.uncommitted)

    def after(self, record: RunRecord) -> "ScoringJob":
        """The same job once the run of ``record`` is committed."""
        return replace(self, earlier=tuple(sorted([*self.earlier, record], key=lambda one: one.run)))

    def frame_costs(self, device: str) -> FrameCosts:
        """Seconds per frame on ``device``, as earlier runs of the same spec measured them."""
        probe = self.checkpoint.card.probe
        tiles = probe.tile_count if probe else 1
        return measured_frame_costs(self.earlier, spec=self.request.spec.digest, device=device, tiles=tiles)


def make_job(settings: ScoreSettings, checkpoint: Checkpoint, out: Console) -> ScoringJob:
    """The job that ``settings`` describe; its store is not read yet.

    UsageError where the checkpoint cannot be run as they say.
    """
    job = ScoringJob(settings, Store(storage.normalise(settings.output)), checkpoint, out)
    _ = job.request  # raises, before anything is done
    return job
