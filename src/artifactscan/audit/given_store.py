"""The scoring store that a command is given: one that scoring wrote, or the one inside an audit's store."""

from dataclasses import dataclass

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import Night
from artifactscan.errors import UsageError
from artifactscan.store.layout import Store


@dataclass(frozen=True)
class GivenStore:
    """A scoring store, and the nights of the audit that it belongs to."""

    scores: Store
    nights: tuple[Night, ...]
    """The committed ones, oldest first; empty where it is no audit's."""


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
