"""The command `artifactscan`: one subcommand for each job, with the job's own flags.

    artifactscan score --input CLIPS --output STORE
    artifactscan score --help
    artifactscan completion bash > ~/.local/share/bash-completion/completions/artifactscan

In a clone, `python jobs/score.py` is the same program.

Exit codes: those of the job; 2 for an unknown command.
"""

import sys
from importlib import import_module

from artifactscan import __version__
from artifactscan.cli import interruption

JOBS = (
    "score",
    "audit",
    "report",
    "why",
    "extract",
    "labels",
    "judge",
    "finetune",
    "evaluate",
    "explain",
    "export",
    "compact",
    "checkpoint",
    "synthesise",
    "demo",
)
COMMANDS = (*JOBS, "completion")
FLAGS = ("--help", "--version")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; None: that of the command line, in a process of its own."""
    if arguments is None:
        interruption.take_over_process()
    from artifactscan.cli.exit_codes import EXIT_OK, report_errors, unknown_name  # now that Ctrl-C is handled

    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_help())
        return EXIT_OK
    if name in ("-V", "--version", "version"):
        print(f"artifactscan {__version__}")
        return EXIT_OK
    if name == "completion":
        from artifactscan.cli.completion import print_completion  # imports the settings of all jobs

        with report_errors() as job_exit:
            shell = rest[0] if rest else ""
            print_completion(shell, {job: import_module(f"artifactscan.jobs.{job}").SETTINGS for job in JOBS})
            job_exit.code = EXIT_OK
        return job_exit.code
    if name not in JOBS:
        with report_errors() as job_exit:
            is_flag = name.startswith("-")
            raise unknown_name("flag", name, FLAGS) if is_flag else unknown_name("command", name, COMMANDS)
        return job_exit.code
    sys.argv = [f"artifactscan {name}", *rest]  # the name that a job's help and errors show
    return import_module(f"artifactscan.jobs.{name}").main()


def _help() -> str:
    lines = [f"  {name:11} {_first_line(name)}" for name in JOBS]
    return "\n".join(
        [
            "artifactscan finds four kinds of visual artifacts in AI-generated video.",
            "",
            "usage: artifactscan COMMAND [flags]     artifactscan COMMAND --help     artifactscan --version",
            "",
            *lines,
            f"  {'completion':11} Prints a completion script for bash or zsh.",
        ]
    )


def _first_line(job: str) -> str:
    """The first line of a job's docstring, read without importing the job."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(f"artifactscan.jobs.{job}")
    assert spec is not None and spec.origin is not None
    return (ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or "").split("\n", 1)[0]


if __name__ == "__main__":
    sys.exit(main())
