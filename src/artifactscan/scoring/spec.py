"""The spec: everything that a score depends on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DECODING_VERSION
from artifactscan.storage.digest import digest


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything a score depends on; stored scores are reused only under the same digest."""

    sample_fps: float
    decoder: str
    """The setting, one of DECODERS; the colours of decoders differ slightly. nvdec has the version of torchcodec."""
    precision: str
    """The setting; auto chooses bf16 only where no score moves by 0.01."""
    input: InputSpec
    checkpoint_digest: str
    backend: str | None = None
    """What runs the exported graph of the checkpoint, its version and the graph's digest; None: torch."""
    decoding_version: int = DECODING_VERSION

    @property
    def digest(self) -> str:
        """16 hex digits, equal for scores that may be in one table."""
        return digest_of_spec(asdict(self))


def digest_of_spec(values: Mapping[str, Any]) -> str:
    """Spec.digest of a spec's fields, as records have them; those of before there were backends have none."""
    return digest({name: value for name, value in values.items() if name != "backend" or value is not None})
