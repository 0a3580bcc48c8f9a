"""The errors that tyro draws a box around, as one sentence with the flag, the value and what is allowed."""

import re
from collections.abc import Sequence

_NEEDED = re.compile(r"^[│ ] {5}(\S+)", re.MULTILINE)
"""A flag or positional argument that is missing, by its indentation; without box characters a line has spaces alone."""
_UNKNOWN_FLAG = re.compile(r"Unrecognized options:[^-─]*(--\w[\w-]*)")
_WITHOUT_FLAG = re.compile(r"Unrecognized options: (.+?) *(?:-{3,}|─|For full helptext)")
_NO_VALUE = re.compile(r"Missing value for argument '([^']+)'")
_CHOICE = re.compile(r"invalid choice '(.*)' for argument '([^']+)'\. Expected one of \((.*?)\)")
_TYPE = re.compile(r"Error parsing (--[\w-]+).*?Argument helptext: +\S+ (\{None\}\|)?(\[?)(INT|FLOAT)\b")
_TYPE_NAMES = {"INT": "a whole number", "FLOAT": "a number"}


def unknown_flag(box: str) -> str | None:
    """The first flag that tyro does not know."""
    found = _UNKNOWN_FLAG.search(box)
    return found[1] if found else None


def describe(box: str, arguments: Sequence[str]) -> str:
    """The sentence for an error that ``arguments`` led to."""
    text = " ".join(line.strip("╭╮│╰╯|+ ") for line in box.splitlines())
    if "Missing from" in text:
        needed = _NEEDED.findall(re.split("Unrecognized options:|For full helptext", box)[0])
        return _describe_missing(needed, _without_flag(text))
    if found := _NO_VALUE.search(text):
        return f"{_last_name(found[1])} has no value; write one after it"
    if found := _CHOICE.search(text):
        return f"{_last_name(found[2])} is {found[1]!r}; give one of {found[3].replace(chr(39), '')}"
    if found := _TYPE.search(text):
        name = _TYPE_NAMES[found[4]]
        return f"{found[1]} is {_value(found[1], arguments)!r}; give {'numbers' if found[3] else name}"
    if words := _without_flag(text):
        return f"{' '.join(words)} belongs to no flag; write the flag before it, or quotes around a value with spaces"
    return re.sub(r"[─-]{3,}", ";", text)


def _describe_missing(needed: list[str], words: list[str]) -> str:
    if words and len(words) == len(needed) and all(flag.startswith("--") for flag in needed):
        pairs = " ".join(f"{flag} {word}" for flag, word in zip(needed, words, strict=True))
        return f"{' and '.join(words)} belong to no flag; write {pairs}"
    names = [name if name.startswith("--") else f"the argument {name}" for name in needed]
    return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} missing; --help says what to give"


def _without_flag(text: str) -> list[str]:
    found = _WITHOUT_FLAG.search(text)
    return found[1].split() if found else []


def _last_name(names: str) -> str:
    """The flag of tyro's `--alias/--flag`."""
    return names.rpartition("/")[2]


def _value(flag: str, arguments: Sequence[str]) -> str:
    """What stands last for a flag, as `--flag value` or `--flag=value`."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    places = [place for place, word in enumerate(words[:-1]) if word.replace("_", "-") == flag]
    return words[places[-1] + 1] if places else ""
