"""Scores a corpus of videos for the four artifact labels.

    artifactscan score --input s3://bucket/videos --output s3://bucket/scores
    ray job submit --working-dir . -- python jobs/score.py --input s3://bucket/videos --output s3://bucket/scores

A submitted job needs the packages of requirements.lock in the cluster's Python, which `python` must name, and s3:// or
absolute paths: it runs in a copy of the working directory. With RAY_ADDRESS set, the first form works on that cluster.

Exit codes: 0 all well; 1 more than --max-failed of the videos have no frame scored; 2 wrong usage or configuration,
nothing was done; 3 the ledger did not close or the run was cut off, the same command continues it.
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
from artifactscan.pipelines.score.run import score
from artifactscan.scoring.settings import ScoreSettings

SETTINGS = ScoreSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        job_exit.code = score(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
