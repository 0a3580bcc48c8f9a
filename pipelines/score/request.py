"""What one call of the scoring job is about, and what it is known by."""

from dataclasses import asdict, dataclass
from functools import cached_property

from rich.console import Console

from artifactscan import storage
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.scoring.rates import Rates, measured
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.spec import Spec
from artifactscan.storage.digest import digest
from artifactscan.store.layout import RunRecord, Store


@dataclass(frozen=True)
class Request:
    """What was asked, as digests: by these runs are found again, continued and reused."""

    spec: Spec
    scope: str
    limits: str

    @property
    def digest(self) -> str:
        return digest([self.spec.digest, self.scope, self.limits])


def make_request(settings: ScoreSettings, checkpoint: Checkpoint) -> Request:
    spec = Spec(
        sample_fps=settings.sample_fps,
        decoder=settings.decoder,
        precision=settings.precision,
        input=checkpoint.card.input,
        checkpoint_digest=checkpoint.digest,
    )
    scope = digest([storage.normalise(settings.input), asdict(settings.listing())])
    return Request(spec=spec, scope=scope, limits=digest(asdict(settings.limits())))


@dataclass(frozen=True)
class Job:
    """What one call of the job is about."""

    settings: ScoreSettings
    store: Store
    checkpoint: Checkpoint
    request: Request
    out: Console

    @cached_property
    def earlier(self) -> list[RunRecord]:
        """The runs that were committed when this was first asked; a request for each, so kept."""
        return self.store.committed()

    def rates(self, device: str) -> Rates:
        """What a frame takes on ``device``, as earlier runs of the same spec measured it."""
        return measured(self.earlier, spec=self.request.spec.digest, device=device)
