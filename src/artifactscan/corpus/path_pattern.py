"""Patterns such as {generator}/{version} that read names out of a video's path below its corpus."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.errors import UsageError

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def pattern_names(pattern: str) -> tuple[str, ...]:
    """The names in braces, in order."""
    return tuple(_FIELD.findall(pattern))


def check_pattern(pattern: str, flag: str) -> None:
    """UsageError, naming ``flag``, for a pattern without a name, with a name twice, or that cannot be read."""
    names, rest = _FIELD.findall(pattern), _FIELD.sub("", pattern)
    if not names:
        raise UsageError(f"{flag} {pattern!r} names no group; write a pattern such as {{generator}}/{{version}}")
    if "{" in rest or "}" in rest:
        raise UsageError(f"{flag} {pattern!r} has a brace without a name; write {{name}} with letters and digits")
    if len(set(names)) < len(names):
        raise UsageError(f"{flag} {pattern!r} names a group twice; give each its own name")
    if "}{" in pattern:
        raise UsageError(f"{flag} {pattern!r} has two groups with nothing between; put a / or another sign there")


def match_paths(pattern: str, paths: pa.Array) -> dict[str, pa.Array]:
    """Name → its value in each path, string; null where the path does not match.

    The pattern begins with the path and may end before it, at a folder. A name matches within one folder, up to the
    pattern's next text.
    """
    found = pc.extract_regex(paths, pattern=_regex(pattern))
    return {name: pc.struct_field(found, name) for name in pattern_names(pattern)}


def _regex(pattern: str) -> str:
    """The pattern for Arrow's linear-time engine."""
    parts = _FIELD.split(pattern.strip("/").removesuffix("/…").removesuffix("/**"))  # text, name, text, name, …, text
    end = r"(?:/|\z)" if parts[-1] else "/"  # a group is a folder, unless the pattern goes on after it
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>[^/]+?)" for name in parts[1::2]]
    return rf"\A{''.join(parts)}{end}"
