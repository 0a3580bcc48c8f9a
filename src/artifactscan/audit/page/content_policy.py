"""The page's Content-Security-Policy (W3C, Level 3): it loads itself, and the videos and GIFs its reader plays."""

import base64
import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

_ORIGIN = re.compile(r"https?://[A-Za-z0-9._-]+(:\d{1,5})?")


def content_policy(*, css: str, js: str, links: Iterable[str], gifs: Iterable[str] = ()) -> str:
    """The policy that allows this style, this script and embedded pictures.

    It also allows videos from the hosts of ``links``, and moving pictures from those of ``gifs``, if there are any.
    """
    shown = list(gifs)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(js)}",
            f"style-src {_digest(css)}",
            " ".join(["img-src data:", *(["'self' file:", *_origins(shown)] if shown else [])]),
            " ".join(["media-src 'self' file:", *_origins(links)]),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def player_link(link: str | None) -> str | None:
    """``link`` where a player may load it, else None.

    A link to an http(s) host stays as it is. Anything else is a percent-encoded path relative to the page; characters
    that are not encoded yet are encoded, so that nothing in it can be a scheme, a host or a query.
    """
    if link is None:
        return None
    if link.lower().startswith(("http://", "https://")):
        return link if _origin(link) else None
    path = quote(link, safe="/%", errors="surrogateescape")
    return f".{path}" if path.startswith("//") else path


def _origins(links: Iterable[str]) -> list[str]:
    return sorted({origin for link in links if (origin := _origin(link))})


def _origin(link: str) -> str | None:
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if _ORIGIN.fullmatch(origin) else None


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
