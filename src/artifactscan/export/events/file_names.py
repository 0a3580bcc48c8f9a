"""Names of files of single clips: their paths below the corpus, made harmless."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from hashlib import blake2b
from pathlib import PurePosixPath

_MOST_BYTES = 240
"""Of a part of a path: file systems allow 255."""
_HARMFUL = re.compile(r"[\x00-\x1f\x7f\\]")
_SHOWN_CHARS = 40
_DIGEST_BYTES = 8


def clip_file_names(files: Collection[str], suffix: str, *, reserved: Collection[str] = ()) -> Mapping[str, str]:
    """file → path below the export's folder: the clip's own, with ``suffix`` in place of its ending.

    Clips that differ in their ending alone keep it before the suffix. A part of a path that is empty, `.` or `..`, too
    long, or has control characters is replaced by what can be read of it and a digest, so that no file lies outside the
    folder. So are ``reserved`` names, of what else is there, and a name that another clip's file or folder has too.
    """
    stems = {file: _without_ending(file) for file in files}
    alike = Counter(stems.values())
    names = {file: (stem if alike[stem] == 1 else file) + suffix for file, stem in stems.items()}
    taken = Counter(names.values())
    folders = {str(parent) for name in taken for parent in PurePosixPath(name).parents}
    harmless = {}
    for file, name in names.items():
        *parents, last = name.split("/")
        kept = [part if _is_harmless(part, reserved) else _replaced(part, part) for part in parents]
        if taken[name] > 1 or name in folders or not _is_harmless(last, reserved):
            last = _replaced(last.removesuffix(suffix), file) + suffix
        harmless[file] = "/".join([*kept, last])
    return harmless


def is_clip_file_name(name: str, suffix: str) -> bool:
    """Whether `clip_file_names` can have given the name: one that another wrote may lead out of the folder."""
    return name.endswith(suffix) and all(_is_harmless(part, ()) for part in name.split("/"))


def _without_ending(file: str) -> str:
    return file.removesuffix(PurePosixPath(file).suffix)


def _is_harmless(part: str, reserved: Collection[str]) -> bool:
    if part in ("", ".", "..") or part in reserved:
        return False
    return len(part.encode()) <= _MOST_BYTES and not _HARMFUL.search(part)


def _replaced(part: str, digested: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-")[:_SHOWN_CHARS].rstrip("-")
    return f"{readable or 'clip'}-{blake2b(digested.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"
