"""Posts a night's first screen as Slack-compatible JSON to a webhook. A failure to post changes no verdict."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from artifactscan.audit.brief.night_brief import BriefClip, NightBrief, clip_url
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_visible_ascii, is_web_address
from artifactscan.messages.web_errors import causes, silenced

TIMEOUT_S = 10.0
"""For connecting, and for each answer."""
RETRIES = 3
BACKOFF_S = 1.0
"""Waits between tries: none, then twice and four times this."""
MAX_RETRY_AFTER_S = 30.0
"""Longest wait that a server's Retry-After can impose."""
MAX_REASONS = 5
TEXT_WIDTH = 500
"""Most characters of one text: escaped at most five times as many, and Slack allows 3,000 in a section."""
MAX_LINK_LENGTH = 2000

_TITLES = {
    EXIT_PASS: "Nightly audit passed",
    EXIT_FAIL: "Nightly audit failed",
    EXIT_SCORER_MOVED: "Nightly audit: the scorer moved",
}


def check_webhook(url: str) -> None:
    """UsageError, without the secret in ``url``, where it cannot be posted to."""
    if not is_web_address(url):
        raise UsageError(
            "--webhook (or ARTIFACTSCAN_WEBHOOK) is not an http:// or https:// URL without spaces; "
            "give one such as Slack's https://hooks.slack.com/services/…"
        )


def notify(
    url: str, brief: NightBrief, *, page: str | None, timeout_s: float = TIMEOUT_S, backoff_s: float = BACKOFF_S
) -> str | None:
    """Posts a night's brief to ``url``; ``page`` is the https:// link to its page, or its path.

    Returns None when it was accepted, else one sentence that says why not, without the secret in ``url``. Retries after
    429 (with Retry-After), 5xx and lost connections, so a message can arrive twice; follows no redirect. Raises nothing
    for failures of the network or the server.
    """
    retry = Retry(
        total=RETRIES,
        allowed_methods=None,
        status_forcelist=(HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)),
        backoff_factor=backoff_s,
        retry_after_max=int(MAX_RETRY_AFTER_S),
        raise_on_status=False,
    )
    with silenced("urllib3"), requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            response = session.post(
                url, json=message(brief, page), timeout=timeout_s, allow_redirects=False, stream=True
            )
        except (requests.RequestException, HTTPError) as error:  # requests does not wrap all of urllib3's errors
            return f"{_origin(url)} was not notified: {_in_words(error, timeout_s)}"
    if 200 <= response.status_code < 300:
        return None
    return f"{_origin(url)} was not notified: it answered {_status_in_words(response.status_code)}"


def message(brief: NightBrief, page: str | None) -> dict[str, Any]:
    """The message: ``text`` for clients without blocks, and Slack's Block Kit. All text from elsewhere is escaped."""
    reasons = [f"• {_escaped(reason)}" for reason in brief.others[:MAX_REASONS]]
    if (more := len(brief.others) - MAX_REASONS) > 0:
        reasons.append(f"• and {more} more")
    facts = [f"*{_escaped(fact.name)}*: {_escaped(fact.text)}" for fact in brief.facts]
    clips = [_clip(clip, page) for clip in brief.clips]
    context = [
        f"{_escaped(brief.corpus)}, night {_escaped(brief.night)}",
        ", ".join(map(_escaped, brief.counts)) or "nothing was counted",
    ]
    lines = [_escaped(brief.sentence), *facts, *reasons, *clips]
    link = [_page(page)] if page else []
    return {
        "text": "\n".join([_TITLES[brief.code], *lines, *context, *link]),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": _TITLES[brief.code], "emoji": False}},
            *({"type": "section", "text": _mrkdwn(line)} for line in lines),
            {"type": "context", "elements": [_mrkdwn(fact) for fact in context]},
            *({"type": "section", "text": _mrkdwn(line)} for line in link),
        ],
        "unfurl_links": False,  # otherwise Slack would fetch the page through its presigned link
        "unfurl_media": False,
    }


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escaped(text: str) -> str:
    """Escaped as Slack requires: only & < > can start a link or a mention."""
    return printable(text, TEXT_WIDTH).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clip(clip: BriefClip, page: str | None) -> str:
    link = _link(clip_url(clip, page), "Play")
    return f"▶ {_escaped(clip.path)}: {clip.in_words}{f' {link}' if link else ''}"


def _page(page: str) -> str:
    return _link(page, "The night's page") or f"The night's page: {_escaped(page)}"


def _link(url: str | None, title: str) -> str | None:
    """An https:// address as a link in Slack's markup; None for others and for what Slack would not take."""
    if url is None or not url.startswith("https://") or not is_visible_ascii(url):
        return None
    link = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{link}|{title}>" if len(link) <= MAX_LINK_LENGTH else None


def _origin(url: str) -> str:
    """The webhook by its host only: path, query and user are secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"the webhook at {printable(parts.hostname or '?', 100)}{port}"
    except ValueError:
        return "the webhook"


def _status_in_words(status: int) -> str:
    phrase = f" ({HTTPStatus(status).phrase})" if status in HTTPStatus.__members__.values() else ""
    return f"{status}{phrase}{', and redirects are not followed' if 300 <= status < 400 else ''}"


def _in_words(error: Exception, timeout_s: float) -> str:
    """Why there was no answer; never the error's own text, which contains the URL."""
    found = list(causes(error))
    words = [cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror]
    if not words and any(isinstance(cause, Urllib3TimeoutError) for cause in found):
        return f"it did not answer within {timeout_s:g} s"
    reason = printable(words[-1]) if words else type(error).__name__
    what = "its proxy" if isinstance(error, requests.exceptions.ProxyError) else "it"
    return f"{what} cannot be reached ({reason})"
