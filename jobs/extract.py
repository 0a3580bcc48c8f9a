"""Writes the frames of a corpus that are worth labelling, with an index and files for labelling tools.

    artifactscan extract --input CLIPS --output OUT --export cvat label-studio
    artifactscan extract --input CLIPS --output OUT --choose uncertain --checkpoint C --count 300 --per-video 5
    ray job submit --working-dir . -- python jobs/extract.py --input s3://bucket/clips --output s3://bucket/frames

A submitted job needs the packages of requirements.lock in the cluster's Python and s3:// or absolute paths. With
RAY_ADDRESS set, the first form works on that cluster.

Exit codes: 0 all well; 1 more than --max-failed of the videos gave no frame; 2 wrong usage or configuration, nothing
was written; 3 the run was cut off, the same command does it again and keeps the scores that are there.
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
from artifactscan.extract.settings import ExtractSettings
from artifactscan.pipelines.extract.run import extract

SETTINGS = ExtractSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        job_exit.code = extract(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
