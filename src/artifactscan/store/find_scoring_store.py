"""Finds the scoring store that a person means: the folder itself, or that of an audit's scores."""

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.store.layout import Store


def find_scoring_store(uri: str) -> Store:
    """The scoring store at ``uri``, or scores/ of an audit's store there; UsageError where neither has a run."""
    root = storage.normalise(uri)
    for store in (Store(root), Store(storage.join(root, "scores"))):
        if store.run_ids():
            return store
    raise UsageError(f"{uri} holds no runs; give the folder that `artifactscan score` or `audit` writes to")
