"""Brings labels back from the tools that people label with, tells how far annotators agree, and shares them.

    artifactscan labels import --from cvat --file annotations.xml --index OUT/index.parquet --output labels.csv
    artifactscan labels agree first.csv second.csv
    artifactscan labels clean --input CAMERA_CLIPS --output camera.csv
    artifactscan labels push --labels labels.csv --to hf://datasets/org/name

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage, or a file that cannot be used, nothing was written; 3 a push was cut off, the
same command does it again.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.annotation.clean_clips import label_clean_clips
from artifactscan.annotation.commands import agree, import_table
from artifactscan.annotation.push_labels import push_labels
from artifactscan.annotation.settings import AgreeSettings, CleanSettings, ImportSettings, LabelsPushSettings
from artifactscan.cli.exit_codes import report_errors, unknown_name
from artifactscan.cli.flags import parse_settings
from artifactscan.messages.console import console

SETTINGS = {"import": ImportSettings, "agree": AgreeSettings, "clean": CleanSettings, "push": LabelsPushSettings}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    with report_errors() as job_exit:
        if command in ("-h", "--help", "help"):
            print(__doc__)
        elif command == "import":
            import_table(parse_settings(ImportSettings, rest, description=__doc__ or ""), console())
        elif command == "agree":
            agree(parse_settings(AgreeSettings, rest, description=__doc__ or ""), console())
        elif command == "clean":
            label_clean_clips(parse_settings(CleanSettings, rest, description=__doc__ or ""), console())
        elif command == "push":
            push_labels(parse_settings(LabelsPushSettings, rest, description=__doc__ or ""), console())
        else:
            raise unknown_name("command", command, tuple(SETTINGS))
        job_exit.code = 0
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
