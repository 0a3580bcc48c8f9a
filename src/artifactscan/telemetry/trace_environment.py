"""What OpenTelemetry's standard environment says of traces."""

import os

from artifactscan.messages.text import printable

_ENDPOINT, _TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_PROTOCOL, _TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_SPOKEN = "http/protobuf"


def asks_for_traces() -> bool:
    """Whether it names a collector, and nothing turns traces off."""
    if _told("OTEL_SDK_DISABLED").lower() == "true" or _told("OTEL_TRACES_EXPORTER").lower() == "none":
        return False
    return bool(collector()[1])


def collector() -> tuple[str, str]:
    """The variable that names the collector, and the URL that takes traces; two empty texts where none does."""
    if own := _told(_TRACES_ENDPOINT):
        return _TRACES_ENDPOINT, own
    if shared := _told(_ENDPOINT):
        return _ENDPOINT, f"{shared.rstrip('/')}/v1/traces"
    return "", ""


def foreign_protocol() -> str | None:
    """In words, that another protocol than http/protobuf is asked for; None where it is not."""
    for name in (_TRACES_PROTOCOL, _PROTOCOL):
        if (protocol := _told(name)) and protocol.lower() != _SPOKEN:
            return f"{name} is {printable(protocol, 40)}, and only {_SPOKEN} is sent; set {_TRACES_PROTOCOL} to that"
        if protocol:
            break
    return None


def _told(name: str) -> str:
    return os.environ.get(name, "").strip()
