"""Globs that choose which files of a corpus to list."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.errors import UsageError


class PathGlobs:
    """Globs as one regular expression for Arrow's engine, which takes linear time for any pattern."""

    _TOKEN = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?[^\]/]+\])")
    _REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}  # noqa: RUF012

    def __init__(self, globs: tuple[str, ...], flag: str):
        self.globs = globs
        self.regex = rf"(?s)\A(?:{'|'.join(map(self._translate, globs))})\z"
        try:
            self.match(pa.array([""]))
        except pa.ArrowInvalid:
            raise UsageError(f"{flag} {' '.join(globs)} is not a glob; only *, **, ? and [a-z] are special") from None

    def match(self, paths: pa.Array) -> pa.BooleanArray:
        if not self.globs:
            return pa.repeat(pa.scalar(False), len(paths))
        return pc.match_substring_regex(paths, pattern=self.regex, ignore_case=True)

    def _translate(self, glob: str) -> str:
        anchored = "/" in glob.rstrip("/")
        glob = glob.lstrip("/") + ("**" if glob.endswith("/") else "")
        tokens = (self._token(token) for token in self._TOKEN.split(glob) if token)
        return ("" if anchored else "(?:.*/)?") + "".join(tokens)

    def _token(self, token: str) -> str:
        if token in self._REGEX:
            return self._REGEX[token]
        if self._TOKEN.fullmatch(token):
            inside = token[1:-1].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
            return f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        return re.escape(token)
