"""Names of files of single clips: their paths below the corpus, made harmless."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from itertools import count
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
    folder. So are ``reserved`` names, of what else is there, and a name that another clip's file or folder has too. No
    two clips have one name, whatever they are called.
    """
    plain = _plain_names(files, suffix)
    counts = Counter(plain.values())
    parents = {file: _harmless_parents(name, reserved) for file, name in plain.items()}
    folders = {"/".join(parts[:end]) for parts in parents.values() for end in range(1, len(parts) + 1)}
    chosen: dict[str, str] = {}
    taken = set(folders)
    # Those that can keep their name come first; the others in an order that does not depend on that of ``files``.
    keeps_name = {file: _is_harmless_path(name, reserved) and counts[name] == 1 for file, name in plain.items()}
    for file in sorted(plain, key=lambda file: (not keeps_name[file], file)):
        last = plain[file].rpartition("/")[2]
        candidates = _last_parts(
            last, file, suffix, plain_first=counts[plain[file]] == 1 and _is_harmless(last, reserved)
        )
        name = next(name for part in candidates if (name := "/".join([*parents[file], part])) not in taken)
        taken.add(name)
        chosen[file] = name
    return {file: chosen[file] for file in files}


def _plain_names(files: Collection[str], suffix: str) -> dict[str, str]:
    """file → its path with the suffix, which two files may have in common, and which may not be harmless."""
    stems = {file: _without_ending(file) for file in files}
    alike = Counter(stems.values())
    return {file: (stem if alike[stem] == 1 else file) + suffix for file, stem in stems.items()}


def _harmless_parents(name: str, reserved: Collection[str]) -> list[str]:
    return [part if _is_harmless(part, reserved) else _replaced(part, part) for part in name.split("/")[:-1]]


def _last_parts(last: str, file: str, suffix: str, *, plain_first: bool) -> Iterator[str]:
    """Names that the file may have in its folder, the best first, without end."""
    if plain_first:
        yield last
    for number in count():
        digested = f"{file}\0{number}" if number else file
        yield _replaced(last.removesuffix(suffix), digested) + suffix


def is_clip_file_name(name: str, suffix: str) -> bool:
    """Whether `clip_file_names` can have given the name: one that another wrote may lead out of the folder."""
    return name.endswith(suffix) and _is_harmless_path(name, ())


def _without_ending(file: str) -> str:
    return file.removesuffix(PurePosixPath(file).suffix)


def _is_harmless_path(name: str, reserved: Collection[str]) -> bool:
    return all(_is_harmless(part, reserved) for part in name.split("/"))


def _is_harmless(part: str, reserved: Collection[str]) -> bool:
    if part in ("", ".", "..") or part in reserved:
        return False
    return len(part.encode()) <= _MOST_BYTES and not _HARMFUL.search(part)


def _replaced(part: str, digested: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-")[:_SHOWN_CHARS].rstrip("-")
    return f"{readable or 'clip'}-{blake2b(digested.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"
