"""Makes untrusted text, such as file names and decoder messages, safe to print."""

import re
from collections.abc import Sequence

_USER_INFO = re.compile(r"(?:(?<=http://)|(?<=https://))[^\s\"'`]+@|(?<=://)[^/\s@\"']+@", re.I)
"""In web addresses up to the last @: keys and passwords hold slashes and more of these."""
_DATABASE = re.compile(r"((?:postgresql|postgres|mysql|mariadb|mssql|oracle|redshift)(?:\+\w+)?://)[^\s\"'`]+@", re.I)
"""The same in the addresses of databases."""
_MISSPELLED = re.compile(
    r"""(?<![^\s"'`(\[<=,;])(?:"""  # at the beginning of a word:
    r"""(?P<scheme>https?:/?(?!/))[^\s"'`]+@"""  # http:/user:password@host
    r"""|(?P<slashes>//)(?:[^\s"'`/@:]*:[^\s"'`]*@|[^\s"'`/@]+@)"""  # //user:password@host
    r"""|(?![(\[<=,;])[^\s"'`/@:]*:(?!//)[^\s"'`]*@"""  # user:password@host
    r"""|(?![(\[<=,;])[^\s"'`/@:]+@(?=[\w.-]+:\d))""",  # token@host:port
    re.I,
)
"""The same in addresses whose scheme is missing or misspelled."""
_SIGNED = re.compile(
    r"(?<=[?&])((?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|token)=)[^&\s\"']+", re.I
)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def printable(text: str, width: int | None = None) -> str:
    """``text`` with every control and unprintable character escaped, cut in the middle to ``width`` characters."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    if width is None or len(safe) <= width:
        return safe
    head = (width - 1) // 2
    return f"{safe[:head]}…{safe[len(safe) - (width - 1 - head) :]}"


def escaped_markdown(text: str) -> str:
    """``text`` in Markdown, where it starts no markup and ends no cell of a table."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, f"\\{character}")
    return printable(text)


def without_credentials(text: str) -> str:
    """``text`` with an ellipsis in place of user names, passwords, tokens and signatures in URLs.

    Also where the scheme of a URL is missing or misspelled.
    """
    text = _DATABASE.sub(r"\1…@", text)
    text = _MISSPELLED.sub(lambda found: f"{found['scheme'] or found['slashes'] or ''}…@", text)
    return _SIGNED.sub(r"\1…", _USER_INFO.sub("…@", text))


def listed(names: Sequence[str]) -> str:
    """One or more names as a list in prose: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def first_few(names: Sequence[str], count: int = 3) -> str:
    """The first ``count`` of untrusted names, and whether there are more: a, b, c, …"""
    shown = ", ".join(printable(name, 40) for name in names[:count])
    return f"{shown}, …" if len(names) > count else shown


def human_bytes(count: int) -> str:
    """Bytes in powers of 1000 with one decimal: 12.3 MB."""
    size, power = float(count), 0
    while size >= 1000 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{count} B" if power == 0 else f"{size:.1f} {_UNITS[power]}"
