"""What makes two scores comparable: the spec, and what makes two commands the same: the request."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from artifactscan.inputs import InputSpec
from artifactscan.video import DECODING_VERSION


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
