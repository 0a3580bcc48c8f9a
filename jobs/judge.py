"""Has a vision-language model grade extracted frames, as a labels table.

    artifactscan judge --index OUT/index.parquet --output JUDGED --endpoint http://127.0.0.1:8000/v1 --model M --plan
    OPENAI_API_KEY=… artifactscan judge --index OUT/index.parquet --output JUDGED --endpoint URL --model M
    ray job submit --working-dir . -- python jobs/judge.py --index s3://bucket/frames/index.parquet \\
        --output s3://bucket/judged --endpoint URL --model M

Exit codes: 0 all well; 1 more than --max-failed of the frames are not judged, or the judge contradicts itself on more
than --max-contradicted of those asked about twice; 2 wrong usage or configuration, nothing was asked; 3 the run was cut
off, the same command continues it and pays for no answer again.
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
from artifactscan.judge.settings import JudgeSettings
from artifactscan.messages.activity import activity

SETTINGS = JudgeSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        with activity("loading torch", settings.quiet):
            from artifactscan.pipelines.judge.run import judge

        job_exit.code = judge(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
