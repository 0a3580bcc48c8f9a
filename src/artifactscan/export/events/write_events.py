"""Writes the events of a store for a labelling tool or a player."""

from rich.console import Console

from artifactscan import storage
from artifactscan.corpus.output_place import check_outside
from artifactscan.export.events.print_export import print_export
from artifactscan.export.events.read_videos import check_not_empty, check_whole, choose_runs, find_videos
from artifactscan.export.events.target_folder import ExportRecord, TargetFolder
from artifactscan.export.events.write_files import write_files
from artifactscan.export.given_store import read_given_store
from artifactscan.export.settings import ExportSettings
from artifactscan.export.target_place import check_not_in_store
from artifactscan.messages.activity import activity
from artifactscan.storage.lease import Lease
from artifactscan.storage.storage_errors import as_cut_off_errors


def write_events(settings: ExportSettings, out: Console) -> None:
    """Writes the latest scores and events of each video of one spec, and prints what was written.

    The store is only read, and one video at a time is held in memory. UsageError before anything is written, for a
    store without scores or that has lost some, an unknown spec, and an output that holds something else. Written again
    from the same scores the files have the same bytes.
    """
    root, output = storage.normalise(settings.store), storage.normalise(settings.output)
    given = read_given_store(settings.store)
    check_outside(settings.output, settings.store)
    with as_cut_off_errors("give the same command again"):
        runs = choose_runs(given, settings.spec)
        check_whole(runs)
        videos = find_videos(runs)
        check_not_empty(videos)
        folder = TargetFolder(output, ExportRecord(to=settings.to, store=root, spec=runs.spec_digest))
        check_not_in_store(settings.output)  # first: to see whether it can be written a file is written
        storage.check_writable(output)
        folder.check()
        unfinished = storage.unfinished_files(output)  # listed before the lease, which writes such files itself
        with Lease(folder.lease, what="export") as lease:
            folder.check()  # another job may have written it since
            for file in unfinished:  # nobody else writes here now: a killed export has left them
                storage.remove_file(file)
            with activity("writing the events"):
                written = write_files(settings.to, videos, folder, check=lease.check_if_due)
    print_export(settings.to, videos, written, output, out)
