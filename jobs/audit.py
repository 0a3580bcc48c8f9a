"""Audits a corpus of generated videos every night: what is new, what it shows, and whether it got worse.

    artifactscan audit --corpus s3://bucket/videos/ --store s3://bucket/audit/
    artifactscan audit --corpus s3://bucket/videos/ --store s3://bucket/audit/ --groups "{generator}/{version}" \\
        --policy policy.yaml
    ray job submit --working-dir . -- python jobs/audit.py --corpus s3://bucket/videos/ --store s3://bucket/audit/

The first line on stdout is the verdict; what is done meanwhile goes to stderr. The page is STORE/latest.html. A
scheduler need only give the same command every night; an audit that was killed is taken up by the next.

Exit codes: 0 the night passes; 1 the policy says it fails; 2 wrong usage or configuration, nothing was done; 3 the
ledger did not close or the audit was cut off, the same command continues it; 4 the scorer itself moved (canary).
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.audit.settings import AuditSettings
from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.messages.activity import activity

SETTINGS = AuditSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        with activity("loading torch", settings.quiet):
            from artifactscan.pipelines.audit.run import audit

        job_exit.code = audit(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
