"""Fine-tunes backbones on labelled frames, measures them on frames held out, and writes checkpoints.

    artifactscan finetune --labels DATA/labels.csv --clips DATA/clips --backbone resnet50 --output OUT
    artifactscan finetune --labels DATA/labels.csv --backbone all --protocol both --output OUT
    ray job submit --working-dir . -- python jobs/finetune.py --labels s3://bucket/labels.csv \\
        --clips s3://bucket/clips --backbone resnet50 --workers 4 --output s3://bucket/trained

A submitted job needs the packages of requirements.lock in the cluster's Python and s3:// or absolute paths. With
RAY_ADDRESS set, the first form works on that cluster.

Exit codes: 0 all well; 2 wrong usage or configuration; 3 the run was cut off, the same command continues it.
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
from artifactscan.messages.activity import activity
from artifactscan.training.settings import FinetuneSettings

SETTINGS = FinetuneSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        with activity("loading torch", settings.quiet):
            from artifactscan.pipelines.train.run import finetune

        job_exit.code = finetune(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
