"""Compacts one scoring store, or all scoring stores of an audit."""

from contextlib import ExitStack

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.formatting import counted
from artifactscan.errors import UsageError
from artifactscan.messages.activity import activity
from artifactscan.messages.text import printable
from artifactscan.storage.lease import Lease
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.storage.write_errors import FREE_SPACE
from artifactscan.store.compact import Compaction, compact_store
from artifactscan.store.layout import Store
from artifactscan.store.settings import CompactSettings

_CONTINUES = "the same command continues the compaction"


def compact(settings: CompactSettings, console: Console) -> None:
    """Merges the small files of every committed run, while no other job works on the store.

    UsageError where there is no run, another job works on the store, it cannot be written, or a file is damaged, after
    the other runs are compacted; CutOffError where the storage fails or is full: the same command continues.
    """
    root = storage.normalise(settings.store)
    done = Compaction()
    with ExitStack() as leases, as_cut_off_errors(_CONTINUES, if_full=FREE_SPACE):
        if not (stores := _scoring_stores(root)):
            raise UsageError(
                f"{settings.store} holds no runs; give the folder that `artifactscan score` or `audit` writes to"
            )
        storage.check_store_writable(root, _CONTINUES)
        outer = leases.enter_context(Lease(AuditStore(root).lease))  # a scoring store's lies there as well
        with activity("compacting", settings.quiet):
            for store in stores:
                with ExitStack() as own:
                    lease = outer if store.root == root else own.enter_context(Lease(store.lease))
                    done += compact_store(store, lease.check_if_due)
    console.print(Text(f"{counted(done.runs, 'run')} of {printable(root)}: {_describe(done)}"), soft_wrap=True)
    if done.tables_kept:
        console.print(
            Text(
                "tables with several files stay as they are: this storage cannot exchange folders in one step, so that "
                "readers would see rows twice",
                style="yellow",
            ),
            soft_wrap=True,
        )
    if done.damaged:
        first, *others = done.damaged
        also = f"; so are files of {counted(len(others), 'other run')}" if others else ""
        raise UsageError(f"{first}{also}") from first


def _describe(done: Compaction) -> str:
    files = counted(done.files_before, "file")
    if done.files_after < done.files_before:
        return f"{files} are {done.files_after:,} now, with the same rows"
    return f"nothing was {'merged' if done.tables_kept else 'to be merged'} in {files}"


def _scoring_stores(root: str) -> list[Store]:
    """The scoring store at ``root``, or all scoring stores of an audit there, that have runs."""
    audit = AuditStore(root)
    nights = storage.list_names(storage.join(root, "nights"))
    stores = [Store(root), audit.scores, audit.slow, audit.resample, *map(audit.canary_scores, nights)]
    return [store for store in stores if store.run_ids()]
