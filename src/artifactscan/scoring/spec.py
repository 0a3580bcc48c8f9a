"""What makes two scores comparable: the spec, and what makes two commands the same: the request."""

from dataclasses import asdict, dataclass

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DECODING_VERSION
from artifactscan.storage.digest import digest


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything a score depends on; a stored score is reused only under the same digest."""

    sample_fps: float
    decoder: str
    """As asked for: one of DECODERS. Decoders differ in colour by a little."""
    precision: str
    """As asked for; auto takes bf16 only where no score moves by 0.01."""
    input: InputSpec
    checkpoint_digest: str
    decoding_version: int = DECODING_VERSION

    @property
    def digest(self) -> str:
        """16 hex digits; equal exactly when scores may stand in one table."""
        return digest(asdict(self))
