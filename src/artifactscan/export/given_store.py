"""The store that is exported."""

from artifactscan import storage
from artifactscan.audit.given_store import GivenStore, find_scoring_store
from artifactscan.errors import UsageError
from artifactscan.storage.storage_errors import describe


def read_given_store(store: str) -> GivenStore:
    """What is found at STORE; UsageError where it is no store, or cannot be read: nothing was done by then."""
    try:
        return find_scoring_store(storage.normalise(store), flag="STORE")
    except OSError as error:
        raise UsageError(
            f"store {store} cannot be read: {describe(error)}; give the same command again when it can be"
        ) from error
