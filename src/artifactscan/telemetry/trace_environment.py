"""What OpenTelemetry's standard environment says of traces."""

import os

from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_web_address, refused_address

_ENDPOINT, _TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_PROTOCOL, _TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_SENT_PROTOCOL = "http/protobuf"


def asks_for_traces() -> bool:
    """Whether it names a collector, and nothing turns traces off."""
    if _variable("OTEL_SDK_DISABLED").lower() == "true" or _variable("OTEL_TRACES_EXPORTER").lower() == "none":
        return False
    return bool(collector()[1])


def collector() -> tuple[str, str]:
    """The variable that names the collector, and the URL that takes traces; two empty texts where none does."""
    if own := _variable(_TRACES_ENDPOINT):
        return _TRACES_ENDPOINT, own
    if shared := _variable(_ENDPOINT):
        return _ENDPOINT, f"{shared.rstrip('/')}/v1/traces"
    return "", ""


def unusable_address() -> str | None:
    """A sentence that the collector's address is none, with the way out; None where it may be one."""
    name, url = collector()
    if is_web_address(url):
        return None
    given = refused_address(_variable(name))
    return f"{given} is no http:// or https:// address; set {name} to one such as http://127.0.0.1:4318"


def unsupported_protocol() -> str | None:
    """A sentence that another protocol than http/protobuf is asked for, with the way out; None where it is not."""
    for name in (_TRACES_PROTOCOL, _PROTOCOL):
        if (protocol := _variable(name)) and protocol.lower() != _SENT_PROTOCOL:
            asked = printable(protocol, 40)
            return f"{name} is {asked}, and only {_SENT_PROTOCOL} is sent; set {_TRACES_PROTOCOL} to that"
        if protocol:
            break
    return None


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
