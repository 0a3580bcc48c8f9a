"""Makes clips with known artifacts, for training, tests and audits.

    artifactscan synthesise --output DIR --count 100
    artifactscan synthesise --output DIR --count 100 --clips CLEAN_CLIPS --pairs

Writes DIR/clips/*.mp4, DIR/boxes.csv (where each artifact shows, frame by frame) and, last, DIR/labels.csv (four labels
per sampled frame).

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage; 3 cut off, the same command starts over.
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
from artifactscan.synthesis.corpus import SynthesisSettings, write_corpus

SETTINGS = SynthesisSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        for path in write_corpus(settings):
            print(path, flush=True)
        job_exit.code = 0
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
