"""The scoring store that a command is given: one that scoring wrote, or the one inside an audit's store."""

from collections.abc import Iterable
from dataclasses import dataclass

from artifactscan import storage
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import Night
from artifactscan.errors import UsageError
from artifactscan.store.layout import Store, is_run_id

_LOOKED_AT = 5
"""Runs and nights of a folder that are looked at; of a store's only the last ones may have neither of the files."""


@dataclass(frozen=True)
class GivenStore:
    """A scoring store, and the nights of the audit that it belongs to."""

    scores: Store
    nights: tuple[Night, ...]
    """The committed ones, oldest first; empty where it is no audit's."""

    def last_night(self, spec_digest: str) -> Night | None:
        """The last night of a spec, whose thresholds and settings of events the audit's pages are by."""
        return next((night for night in reversed(self.nights) if night.spec_digest == spec_digest), None)


def find_scoring_store(root: str, *, flag: str) -> GivenStore:
    """The scoring store at ``root``, or in the audit's store that is there.

    UsageError where there is neither; ``flag`` names ``root`` in it.
    """
    audit = AuditStore(root)
    if nights := audit.nights():
        return GivenStore(audit.scores, tuple(nights))
    for store in (Store(root), audit.scores):  # the latter without nights: the first one was cut off
        if store.run_ids():
            return GivenStore(store, ())
    raise UsageError(f"{flag} {root} has neither nights nor runs; give the folder an audit or a scoring wrote")


def describe_store(folder: str) -> str | None:
    """What a folder is in words where it is a scoring store or an audit's, None for any other; OSError of the storage.

    A folder of an audit of which no night was committed is known by its canary clips. Runs and nights are known by the
    form of their ids, too: other tools also keep a runs/NAME/run.json.
    """
    store, audit = Store(folder), AuditStore(folder)
    runs = _first_ids(store.run_ids())
    if any(storage.exists(store.manifest(run)) or storage.exists(store.run_json(run)) for run in runs):
        return "a scoring store"
    nights = _first_ids(storage.list_names(storage.join(folder, "nights")))
    if any(storage.exists(audit.night_json(night)) for night in nights) or storage.exists(audit.canary_digests):
        return "the store of an audit"
    return None


def _first_ids(names: Iterable[str]) -> list[str]:
    return sorted(filter(is_run_id, names))[:_LOOKED_AT]
