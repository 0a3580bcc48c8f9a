"""Refuses outputs that are one of the inputs, or that lie where they would be taken for one."""

import os
from pathlib import Path

from artifactscan import storage
from artifactscan.corpus.manifest import is_manifest
from artifactscan.errors import UsageError


def check_apart(output: str, input: str, *, output_flag: str = "output", input_flag: str = "input") -> None:
    """UsageError for an output that is its input, lies in it, or holds it; a single file or manifest may lie in it."""
    given, place = _real(input).rstrip("/"), _real(output).rstrip("/")
    if given == place:
        raise UsageError(f"--{input_flag} and --{output_flag} are both {input}; give the output a place of its own")
    if place.startswith(f"{given}/"):
        raise UsageError(
            f"--{output_flag} {output} lies in --{input_flag} {input}, whose clips what is written would join; "
            "give the output a place of its own"
        )
    single = is_manifest(given) or (Path(given).is_file() if not storage.is_remote(given) else False)
    if given.startswith(f"{place}/") and not single:
        raise UsageError(
            f"--{input_flag} {input} lies in --{output_flag} {output}, where files are written and removed; "
            "give the output a place of its own"
        )


def check_outside(output: str, store: str) -> None:
    """UsageError for an output in the store, or that is it: readers of a store take every file in its folders."""
    root = _real(store).rstrip("/")
    if f"{_real(output)}/".startswith(f"{root}/"):
        raise UsageError(f"--output {output} lies in the store {store}; give a place beside it")


def check_not_an_input(output: str, *inputs: tuple[str, str]) -> None:
    """UsageError for an output that is one of the ``inputs``: flags, each with what was given with it."""
    place = _real(output)
    for flag, given in inputs:
        if given and not storage.is_hub(given) and _real(given) == place:
            raise UsageError(f"{flag} {given} and --output {output} are one place; give the output a place of its own")


def _real(uri: str) -> str:
    """The uri, or the local path with its links followed."""
    place = storage.normalise(uri)
    return place if storage.is_remote(place) else os.path.realpath(place)
