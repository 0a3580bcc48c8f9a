"""Writes a store's events for people's tools, or its tables for catalogues and SQL.

    artifactscan export STORE --to fiftyone --output FOLDER
    artifactscan export STORE --to duckdb --output scores.duckdb

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage, or a store or target that cannot be used; 3 it was cut off, the same command
continues it.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.export.settings import EVENT_TARGETS, ExportSettings
from artifactscan.messages.console import console

SETTINGS = ExportSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        if settings.to in EVENT_TARGETS:
            from artifactscan.export.events.write_events import write_events

            write_events(settings, console())
        else:
            from artifactscan.export.tables.write_tables import write_tables

            write_tables(settings, console())
        job_exit.code = 0
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
