"""Writes an audit's events, verdicts and pages anew from the stored scores; nothing is decoded.

    artifactscan report --store s3://bucket/audit/                                    # the latest page, links renewed
    artifactscan report --store s3://bucket/audit/ --thresholds motion=0.6 texture=0.45
    artifactscan report --store s3://bucket/audit/ --policy stricter.yaml --plan      # only say what would flip

Other thresholds, event settings or a policy hold for all nights of the scorer that scored the chosen one; thresholds
and event settings for the nights to come as well.

It needs no cluster: it works in this process.

Exit codes: 0 the night passes; 1 the policy says it fails; 2 wrong usage; 3 the store is damaged or this was cut off,
the same command does it again; 4 the scorer itself moved that night.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.audit.settings import ReportSettings
from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console

SETTINGS = ReportSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        with activity("loading torch"):
            from artifactscan.audit.print_verdict import print_rejudged
            from artifactscan.audit.rejudge import rejudge

        job_exit.code = print_rejudged(rejudge(settings), console())
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
