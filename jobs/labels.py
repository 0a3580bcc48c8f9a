"""Brings labels back from the tools that people label with, and tells how far annotators agree.

    python jobs/labels.py import --from cvat --file annotations.xml --index OUT/index.parquet --output labels.csv
    python jobs/labels.py agree first.csv second.csv

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage, or a file that cannot be used, nothing was written.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from artifactscan.annotation.commands import agree, import_table  # noqa: E402
from artifactscan.annotation.settings import AgreeSettings, ImportSettings  # noqa: E402
from artifactscan.cli import parse_settings, report_errors  # noqa: E402
from artifactscan.errors import UsageError  # noqa: E402
from artifactscan.summary import console  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    with report_errors() as ended:
        if command == "import":
            import_table(parse_settings(ImportSettings, rest, description=__doc__ or ""), console())
        elif command == "agree":
            agree(parse_settings(AgreeSettings, rest, description=__doc__ or ""), console())
        elif command in ("-h", "--help"):
            print(__doc__)
        else:
            raise UsageError(f"the commands are `import` and `agree`, not {command!r}; add --help to one for its flags")
        ended.code = 0
    return ended.code


if __name__ == "__main__":
    sys.exit(main())
