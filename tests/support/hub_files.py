"""Files of a checkpoint on a model hub, and what is said where the hub or artifactscan refuses."""

from collections.abc import Callable

import pytest
from hub_server import READER, WRITER

from artifactscan.errors import UsageError

CARD, WEIGHTS, README = "card.json", "model.safetensors", "README.md"
OUR_CARD = b"---\ntags:\n- artifactscan\n---\n# a checkpoint\n"
NAMES = (CARD, WEIGHTS)
OURS = {CARD: lambda data: True}
FILES = {CARD: b'{"a": 1}', WEIGHTS: bytes(range(256)) * 40}


def refusal(act: Callable[[], object], kind: type[Exception] = UsageError) -> str:
    with pytest.raises(kind) as raised:
        act()
    text = str(raised.value)
    assert "\n" not in text and READER not in text and WRITER not in text
    return text
