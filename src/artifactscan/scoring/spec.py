"""The spec: everything that a score depends on."""

from dataclasses import asdict, dataclass

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DECODING_VERSION
from artifactscan.storage.digest import digest


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything a score depends on; stored scores are reused only under the same digest."""

    sample_fps: float
    decoder: str
    """The setting, one of DECODERS; the colours of decoders differ slightly."""
    precision: str
    """The setting; auto chooses bf16 only where no score moves by 0.01."""
    input: InputSpec
    checkpoint_digest: str
    backend: str | None = None
    """What runs the exported graph of the checkpoint, with its version; None: torch, from the weights."""
    decoding_version: int = DECODING_VERSION

    @property
    def digest(self) -> str:
        """16 hex digits, equal for scores that may be in one table."""
        values = asdict(self)
        if self.backend is None:  # as it was before there were others
            del values["backend"]
        return digest(values)
