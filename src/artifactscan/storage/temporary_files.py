"""Names of files until they are complete, by which those that a kill has left are known."""

import re
import secrets
from pathlib import Path

_NAME = re.compile(r"\.[0-9a-f]{16}\.tmp")


def temporary_path(target: Path) -> Path:
    """A file beside ``target`` to be written and then given its name: hidden, and no other writer's."""
    return target.with_name(f".{secrets.token_hex(8)}.tmp")


def is_temporary_name(name: str) -> bool:
    """Whether ``temporary_path`` gives such names."""
    return _NAME.fullmatch(name) is not None
