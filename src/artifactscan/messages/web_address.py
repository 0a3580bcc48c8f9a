"""Addresses of web servers that people give: whether they can be used at all, and how they are shown."""

from urllib.parse import urlsplit

from artifactscan.messages.text import printable, without_credentials

_MAX_CHARS = 100


def is_web_address(url: str) -> bool:
    """Whether it is an http:// or https:// address with a host, and a port, if any, that there can be.

    Of visible ASCII only, so that it can stand in a link as it is.
    """
    if not is_visible_ascii(url):  # urlsplit leaves line breaks out and takes spaces for part of the host
        return False
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # raises for labels that are too long, as connecting would
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:  # such as for an IPv6 address without its end, and a port that is no number
        return False


def is_visible_ascii(url: str) -> bool:
    """Whether it has no spaces, control characters and letters that would have to be encoded."""
    return all("!" <= character <= "~" for character in url)


def refused_address(url: str) -> str:
    """What was given for an address and is none, as a message may show it: without what may be a user and password.

    Those are whatever stands before the last @, as a password that was pasted may have spaces and quotes.
    """
    before, at, after = url.rpartition("@")
    if at:
        scheme, separator, _ = before.partition("://")
        url = f"{scheme}://…@{after}" if separator and ":" not in scheme else f"…@{after}"
    return printable(without_credentials(url), _MAX_CHARS)


def origin(url: str) -> str:
    """Scheme, host and port of an address, without its user, path and query; empty where it names no host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", _MAX_CHARS) if parts.netloc else ""
