"""The night as a mail: its parts, its pictures, and what names in it cannot do."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from reports import make_report, poisoned

from artifactscan.audit.brief.night_brief import NightBrief, night_brief
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.page.mail import MAX_REASONS, mail_html, mail_text, picture_id, render_mail

PAGE = "https://audits.example.com/nights/n/report.html"
SENDER, RECIPIENTS = "audit@example.com", ("one@example.com", "two@example.com")
HOSTILE = (
    "</td></table><script>x()</script><img src=https://evil.example/x.png>\"'{{ 7*7 }}\r\nBcc: c@evil.example\u202e"
)
BRIEF = night_brief(
    make_report(videos=120, worst=12, links=["https://bucket.example/a.mp4?s=1&t=2", "../b.mp4", "c.gif"])
)


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def sent(brief: NightBrief, page: str | None = PAGE) -> EmailMessage:
    """The mail as its reader's program gets it."""
    mail = render_mail(brief, page=page, sender=SENDER, recipients=RECIPIENTS)
    raw = mail.as_bytes()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")), "RFC 5322, 2.1.1"
    assert raw.isascii()
    return message_from_bytes(raw, EmailMessage, policy=default)  # type: ignore[arg-type]


def test_text_and_html_are_alternatives_and_the_pictures_belong_to_the_html() -> None:
    mail = sent(BRIEF)
    assert mail.get_content_type() == "multipart/alternative"
    text, related = mail.iter_parts()
    assert (text.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    html, *pictures = related.iter_parts()  # type: ignore[attr-defined]
    assert html.get_content_type() == "text/html"
    assert [picture["Content-ID"] for picture in pictures] == [f"<{picture_id(n)}>" for n in (1, 2, 3)]
    assert [picture.get_content() for picture in pictures] == [clip.frame_jpeg for clip in BRIEF.clips]
    assert {picture.get_content_disposition() for picture in pictures} == {"inline"}
    assert html.get_content().splitlines() == mail_html(BRIEF, PAGE).splitlines()
    assert text.get_content().splitlines() == mail_text(BRIEF, PAGE).splitlines()


def test_the_headers() -> None:
    mail = sent(BRIEF)
    assert mail["From"] == SENDER and mail["To"] == "one@example.com, two@example.com"
    assert mail["Subject"] == f"artifactscan: {BRIEF.sentence}"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == sent(BRIEF)["Message-ID"] == f"<{BRIEF.night}@artifactscan.invalid>"
    assert mail["Date"].datetime is not None


def test_the_html_loads_nothing_and_lays_out_with_tables() -> None:
    page = Tags(mail_html(BRIEF, PAGE))
    assert {tag for tag, _ in page.tags}.isdisjoint(("script", "link", "svg", "video", "form", "iframe", "object"))
    loaded = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "background")
    ]
    assert loaded == [f"cid:{picture_id(n)}" for n in (1, 2, 3)]
    assert "url(" not in mail_html(BRIEF, PAGE) and "@import" not in mail_html(BRIEF, PAGE)
    assert all(attributes.get("role") == "presentation" for tag, attributes in page.tags if tag == "table")
    assert all("style" in attributes for tag, attributes in page.tags if tag in ("td", "h1", "h2", "img"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert set(links) == {
        PAGE,
        *(f"{PAGE}#{clip.anchor}" for clip in BRIEF.clips if not (clip.link or "").startswith("https")),
        *(f"{clip.link}#t={clip.peak_s:g}" for clip in BRIEF.clips if (clip.link or "").startswith("https")),
    }


@pytest.mark.parametrize("code", [EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED])
def test_html_and_text_say_the_same(code: int) -> None:
    brief = night_brief(make_report(code=code, videos=120))
    html, text = Tags(mail_html(brief, None)).text.replace("\u00a0", " "), mail_text(brief, None)
    said = (brief.sentence, *(part for fact in brief.facts for part in (fact.name, fact.text)), *brief.others)
    for one in (*said, *brief.counts, *(clip.path for clip in brief.clips)):
        assert one in html and one in text, one
    assert text.splitlines()[0] == brief.sentence


def test_a_percentage_does_not_break_before_its_sign() -> None:
    html = Tags(mail_html(BRIEF, None).partition("</head>")[2]).text
    assert "Motion rose from 14.8\u00a0% to 23.3\u00a0% of all videos" in html
    assert not re.search(r"\d %", html)
    assert "Motion rose from 14.8 % to 23.3 % of all videos" in mail_text(BRIEF, None)


def test_without_an_address_the_page_is_named_and_not_linked() -> None:
    report = make_report(videos=120)
    mail = Tags(mail_html(night_brief(report), "s3://bucket/audit/nights/n/report.html"))
    assert "s3://bucket/audit/nights/n/report.html" in mail.text
    assert [tag for tag, _ in mail.tags if tag == "a"] == []


def test_of_many_reasons_a_few_are_sent() -> None:
    brief = replace(BRIEF, others=tuple(f"reason {n}" for n in range(MAX_REASONS + 2)))
    for said in (Tags(mail_html(brief, None)).text, mail_text(brief, None)):
        assert "reason 4" in said and "reason 5" not in said and "and 2 more" in said


def test_hostile_names_are_only_text() -> None:
    brief = night_brief(poisoned(make_report(videos=120), HOSTILE))
    mail = sent(brief, HOSTILE)
    assert set(mail.keys()) == set(sent(BRIEF).keys())
    assert "Bcc" not in mail and "\n" not in mail["Subject"]
    page, plain = (
        Tags(mail_html(brief, HOSTILE)),
        Tags(mail_html(night_brief(poisoned(make_report(videos=120), "n")), "n")),
    )
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert "{{ 7*7 }}" in page.text and "\\r\\nBcc:" in page.text and "\\u202e" in page.text
    text = mail_text(brief, HOSTILE)
    assert "\r" not in text and "\u202e" not in text and not re.search(r"^Bcc", text, re.MULTILINE)


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.text(max_size=400))
def test_no_text_adds_a_header_or_breaks_the_mail(text: str) -> None:
    facts = tuple(replace(fact, text=text) for fact in BRIEF.facts)
    clips = tuple(replace(clip, path=text) for clip in BRIEF.clips)
    brief = replace(BRIEF, sentence=text or "x", corpus=text, night=text, others=(text,), facts=facts, clips=clips)
    mail = sent(brief, text)
    assert len(mail.keys()) == len(sent(BRIEF).keys())
    assert mail.get_content_type() == "multipart/alternative"
