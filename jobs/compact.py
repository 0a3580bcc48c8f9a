"""Merges the small files of a store, with the same rows.

    artifactscan compact s3://bucket/scores

The store can be read meanwhile: a table shows its old files or the new ones. No other job works on it until this one
ends. It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage, or another job works on the store; 3 it was cut off, the same command continues
it.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.audit.compact_stores import compact
from artifactscan.cli.exit_codes import EXIT_OK, report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.messages.console import console
from artifactscan.store.settings import CompactSettings

SETTINGS = CompactSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        compact(parse_settings(SETTINGS, arguments, description=__doc__ or ""), console())
        job_exit.code = EXIT_OK
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
