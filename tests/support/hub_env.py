"""Sets the environment of huggingface_hub in this process, which it reads once, when it is imported."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from huggingface_hub import constants


@contextmanager
def hub_env(env: dict[str, str], *, only: bool = False) -> Iterator[None]:
    """Adds ``env`` to the environment of huggingface_hub; ``only``: makes it the whole of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))] if only else []:
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        importlib.reload(constants)
        yield
    importlib.reload(constants)
