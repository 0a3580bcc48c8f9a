"""The webhook, against a real HTTP server on loopback."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.audit.brief.night_brief import BriefClip, Fact, NightBrief
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.notify import MAX_REASONS, RETRIES, check_webhook, message, notify
from artifactscan.errors import UsageError

SECRET = "T00SECRET/B00SECRET/xyzzy"
PAGE = "https://bucket.example.com/audit/report.html?X-Amz-Signature=a&X-Amz-Expires=60"

BRIEF = NightBrief(
    code=EXIT_FAIL,
    sentence="Fail: Motion rose from 5 % to 11 % of the videos in generator=a&b.",
    facts=(Fact(name="Since", text="Tonight."), Fact(name="How sure", text="q < 0.001")),
    others=("Texture in generator=<b> rose.", "Texture is in 21 % of all videos."),
    clips=(
        BriefClip(
            path="a&b/<1>.mp4",
            anchor="video-1",
            link="https://bucket.example.com/1.mp4?X-Amz-Signature=a&b=c",
            label="motion",
            peak=0.93,
            peak_s=3.5,
            frame_jpeg=None,
        ),
        BriefClip(
            path="2.mp4", anchor="video-2", link="../2.mp4", label="texture", peak=0.5, peak_s=61.0, frame_jpeg=None
        ),
    ),
    corpus="s3://bucket/videos/",
    night="20261126T034700Z",
    counts=("12 videos arrived", "1,204 listed"),
)


@dataclass
class Webhook:
    """A server that gives the ``answers`` in turn, the last one for ever; a float is a silence of so many seconds."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]] | float] = field(default_factory=lambda: [(200, {})])
    bodies: list[Any] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    state = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            state.times_s.append(time.monotonic())
            assert self.headers["Content-Type"] == "application/json"
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if not isinstance(answer, tuple):
                time.sleep(answer)
                return
            status, headers = answer
            self.send_response(status)
            for name, value in {"Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}?key={SECRET}"
    yield state
    server.shutdown()
    server.server_close()


def send(webhook: Webhook, *, timeout_s: float = 5.0) -> str | None:
    return notify(webhook.url, BRIEF, page=PAGE, timeout_s=timeout_s, backoff_s=0.01)


def test_slack_gets_the_first_screen(webhook: Webhook) -> None:
    assert send(webhook) is None
    sentence = "Fail: Motion rose from 5 % to 11 % of the videos in generator=a&amp;b."
    facts = ["*Since*: Tonight.", "*How sure*: q &lt; 0.001"]
    reasons = ["• Texture in generator=&lt;b&gt; rose.", "• Texture is in 21 % of all videos."]
    clips = [
        "▶ a&amp;b/&lt;1&gt;.mp4: motion 0.93 at 3.5 s "
        "<https://bucket.example.com/1.mp4?X-Amz-Signature=a&amp;b=c#t=3.5|Play>",
        "▶ 2.mp4: texture 0.50 at 1:01.0 "
        "<https://bucket.example.com/audit/report.html?X-Amz-Signature=a&amp;X-Amz-Expires=60#video-2|Play>",
    ]
    context = ["s3://bucket/videos/, night 20261126T034700Z", "12 videos arrived, 1,204 listed"]
    link = "<https://bucket.example.com/audit/report.html?X-Amz-Signature=a&amp;X-Amz-Expires=60|The night's page>"
    lines = [sentence, *facts, *reasons, *clips]

    def mrkdwn(text: str) -> dict[str, Any]:
        return {"type": "mrkdwn", "text": text, "verbatim": True}

    assert webhook.bodies == [
        {
            "text": "\n".join(["Nightly audit failed", *lines, *context, link]),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "Nightly audit failed", "emoji": False}},
                *({"type": "section", "text": mrkdwn(text)} for text in lines),
                {"type": "context", "elements": [mrkdwn(one) for one in context]},
                {"type": "section", "text": mrkdwn(link)},
            ],
            "unfurl_links": False,
            "unfurl_media": False,
        }
    ]


@pytest.mark.parametrize(
    ("code", "title"),
    [
        (EXIT_PASS, "Nightly audit passed"),
        (EXIT_FAIL, "Nightly audit failed"),
        (EXIT_SCORER_MOVED, "Nightly audit: the scorer moved"),
    ],
)
def test_the_title_says_which_verdict(code: int, title: str) -> None:
    sent = message(replace(BRIEF, code=code), None)
    assert sent["blocks"][0]["text"]["text"] == title
    assert sent["text"].splitlines()[0] == title


def test_of_many_reasons_a_few_are_sent() -> None:
    reasons = tuple(f"reason {number}" for number in range(MAX_REASONS + 3))
    sent = message(replace(BRIEF, others=reasons), None)
    lines = sent["text"].splitlines()
    assert [line for line in lines if line.startswith("•")] == [
        *(f"• reason {number}" for number in range(MAX_REASONS)),
        "• and 3 more",
    ]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("https://host/a|b>c", "<https://host/a%7Cb%3Ec|The night's page>"),
        ("s3://bucket/audit/nights/x/report.html", "The night's page: s3://bucket/audit/nights/x/report.html"),
        ("http://host/report.html", "The night's page: http://host/report.html"),
        ("https://host/a b", "The night's page: https://host/a b"),
        ("/audits/<!channel>/report.html", "The night's page: /audits/&lt;!channel&gt;/report.html"),
    ],
)
def test_only_an_https_page_is_a_link(page: str, line: str) -> None:
    assert message(BRIEF, page)["text"].splitlines()[-1] == line


@given(headline=st.text(), reasons=st.lists(st.text(min_size=1), max_size=8), page=st.none() | st.text(min_size=1))
def test_no_text_of_others_starts_a_mention_and_slack_takes_every_length(
    headline: str, reasons: list[str], page: str | None
) -> None:
    clips = tuple(replace(clip, path=f"<@U1>{headline}", link=page) for clip in BRIEF.clips)
    hostile = replace(
        BRIEF,
        sentence=f"<!channel> {headline}" * 40,
        facts=(Fact(name="Since", text=f"<!here>{headline}"),),
        others=tuple(reasons),
        clips=clips,
        corpus=f"{headline}<@U1>",
        counts=(headline,),
    )
    sent = message(hostile, page)
    texts = [block["text"]["text"] for block in sent["blocks"] if "text" in block]
    texts += [element["text"] for block in sent["blocks"] for element in block.get("elements", ())]
    for text in (*texts, sent["text"]):
        assert "<" not in text.replace("<https://", "")
    assert all(0 < len(text) <= 3000 for text in texts)
    assert len(sent["blocks"]) <= 50
    assert len(sent["text"].splitlines()) == len(texts)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_temporary_failures_are_retried(status: int, webhook: Webhook) -> None:
    webhook.answers = [(status, {}), (200, {})]
    assert send(webhook) is None
    assert len(webhook.bodies) == 2


def test_retry_after_is_kept(webhook: Webhook) -> None:
    webhook.answers = [(429, {"Retry-After": "1"}), (200, {})]
    assert send(webhook) is None
    first, second = webhook.times_s
    assert second - first >= 1.0


def test_a_long_retry_after_is_capped(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artifactscan.audit.notify.MAX_RETRY_AFTER_S", 1.0)
    webhook.answers = [(503, {"Retry-After": "7200"}), (200, {})]
    assert send(webhook) is None
    first, second = webhook.times_s
    assert 1.0 <= second - first < 10.0


def test_a_lasting_failure_is_reported_after_the_retries(webhook: Webhook) -> None:
    webhook.answers = [(503, {})]
    assert not_notified(send(webhook), webhook) == "it answered 503 (Service Unavailable)"
    assert len(webhook.bodies) == 1 + RETRIES


@pytest.mark.parametrize(("status", "said"), [(404, "404 (Not Found)"), (410, "410 (Gone)"), (499, "499")])
def test_a_refusal_is_reported_at_once(status: int, said: str, webhook: Webhook) -> None:
    webhook.answers = [(status, {})]
    assert not_notified(send(webhook), webhook) == f"it answered {said}"
    assert len(webhook.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int, webhook: Webhook) -> None:
    elsewhere = webhook.url.replace("127.0.0.1", "localhost")
    webhook.answers = [(status, {"Location": elsewhere}), (200, {})]
    said = not_notified(send(webhook), webhook)
    assert said.startswith(f"it answered {status} (")
    assert said.endswith("), and redirects are not followed")
    assert len(webhook.bodies) == 1


def test_a_timeout_is_reported(webhook: Webhook) -> None:
    webhook.answers = [2.0]
    assert not_notified(send(webhook, timeout_s=0.1), webhook) == "it did not answer within 0.1 s"


def test_a_refused_connection_is_reported(webhook: Webhook) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        webhook.url = f"http://127.0.0.1:{held.getsockname()[1]}/services/{SECRET}"
        assert not_notified(send(webhook), webhook) == "it cannot be reached (Connection refused)"


def test_a_server_without_tls_is_reported(webhook: Webhook) -> None:
    webhook.url = webhook.url.replace("http://", "https://")
    assert not_notified(send(webhook), webhook).startswith("it cannot be reached ([SSL")


def test_an_unreachable_proxy_is_reported(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert not_notified(send(webhook), webhook) == "its proxy cannot be reached (Connection refused)"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/secret", "the webhook at host was not notified: it cannot be reached (InvalidSchema)"),
        ("https://host:99999/secret", "the webhook was not notified: it cannot be reached (InvalidURL)"),
        (f"https://{'a' * 70}/secret", f"the webhook at {'a' * 70} was not notified: it cannot be reached ("),
    ],
)
def test_an_invalid_url_is_reported(url: str, said: str) -> None:
    told = notify(url, BRIEF, page=None)
    assert told is not None
    assert told.startswith(said)
    assert "secret" not in told


def test_the_secret_is_not_logged(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.answers = [(500, {}), 0.5, (200, {})]
    assert send(webhook, timeout_s=0.1) is None
    assert len(webhook.bodies) == 3
    assert SECRET not in caplog.text
    assert logging.getLogger("urllib3").getEffectiveLevel() == logging.DEBUG


def not_notified(said: str | None, webhook: Webhook) -> str:
    """The reason in ``said``, which has the host in it and not the secret."""
    assert said is not None
    assert SECRET not in said
    host = webhook.url.partition("://")[2].partition("/")[0]
    assert said.startswith(f"the webhook at {host} was not notified: ")
    return said.partition(" was not notified: ")[2]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "http://127.0.0.1:8080/hook?key=1",
        "https://user:word@chat.example.com/hook",
        "https://[::1]/hook",
    ],
)
def test_a_webhook_passes_the_check(url: str) -> None:
    check_webhook(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "T00SECRET/B00SECRET/xyzzy",
        "ftp://hooks.slack.com/T00SECRET/B00SECRET/xyzzy",
        "file:///T00SECRET/B00SECRET/xyzzy",
        "https:///T00SECRET/B00SECRET/xyzzy",
        "https://host:port/T00SECRET/B00SECRET/xyzzy",
        "https://host:70000/T00SECRET/B00SECRET/xyzzy",
        "https://[::1/T00SECRET/B00SECRET/xyzzy",
        f"https://{'a' * 70}/T00SECRET/B00SECRET/xyzzy",
        "https://hooks.slack.com/T00SECRET/B00SECRET/xyzzy\n",
        "https://hooks.slack.com/ T00SECRET/B00SECRET/xyzzy",
    ],
)
def test_what_cannot_be_posted_to_is_wrong_usage_without_the_secret(url: str) -> None:
    with pytest.raises(UsageError, match=r"^--webhook \(or ARTIFACTSCAN_WEBHOOK\) is not an http") as refused:
        check_webhook(url)
    assert SECRET not in str(refused.value)
