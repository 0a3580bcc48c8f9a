"""A night as a mail: HTML with the clips' pictures in it, and the same as plain text beside it."""

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from artifactscan.audit.brief.night_brief import NightBrief, clip_url
from artifactscan.audit.formatting import NAME_CHARS
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.page.environment import environment
from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_web_address

MAX_REASONS = 5
"""Most reasons below the sentence; the page has all of them."""
_SUBJECT_CHARS = 150
_COLOURS = {EXIT_PASS: "#00694d", EXIT_FAIL: "#a63c00", EXIT_SCORER_MOVED: "#7d3f68"}
"""Of the sentence's bar, as on the page."""
_DOMAIN = "artifactscan.invalid"
"""Of ids, which nobody looks up (RFC 6761)."""


def render_mail(brief: NightBrief, *, page: str | None, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The mail, multipart/alternative, with the clips' pictures inline (RFC 2392).

    It loads nothing from elsewhere. ``page``: address or path of the night's page. The same night has the same
    Message-ID, so that a mail that was sent twice is shown once. Text from elsewhere cannot add headers or markup.
    """
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = f"artifactscan: {printable(brief.sentence, _SUBJECT_CHARS)}"
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{_token(brief.night)}@{_DOMAIN}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a machine
    mail.set_content(mail_text(brief, page), cte="quoted-printable")
    mail.add_alternative(mail_html(brief, page), subtype="html", cte="quoted-printable")
    [_, html] = mail.iter_parts()
    for n, clip in enumerate(brief.clips, 1):
        if clip.frame_jpeg:
            name = f"clip-{n}.jpg"
            html.add_related(  # type: ignore[attr-defined]
                clip.frame_jpeg, "image", "jpeg", cid=f"<{picture_id(n)}>", filename=name, disposition="inline"
            )
    return mail


def mail_html(brief: NightBrief, page: str | None) -> str:
    """The mail's HTML; pictures are ``cid:`` of ``picture_id``."""
    context = {
        "brief": brief,
        "colour": _COLOURS[brief.code],
        "others": brief.others[:MAX_REASONS],
        "more": max(0, len(brief.others) - MAX_REASONS),
        "clips": [(clip, _link_or_none(clip_url(clip, page)), picture_id(n)) for n, clip in enumerate(brief.clips, 1)],
        "page": page,
        "page_link": _link_or_none(page),
    }
    return environment().get_template("mail.html.jinja").render(context)


def mail_text(brief: NightBrief, page: str | None) -> str:
    """The mail as plain text."""
    others = [f"- {reason}" for reason in brief.others[:MAX_REASONS]]
    if more := len(brief.others) - len(others):
        others.append(f"- and {more} more")
    clips = []
    for clip in brief.clips:
        clips.append(f"{printable(clip.path, NAME_CHARS)}: {clip.in_words}")
        clips += filter(None, [_link_or_none(clip_url(clip, page))])
    blocks = [
        [brief.sentence],
        [f"{fact.name}: {fact.text}" for fact in brief.facts],
        ["It fails as well, because", *others] if others else [],
        ["Clips to look at", *clips] if clips else [],
        [f"The night's page: {page}"] if page else [],
        [f"{brief.corpus}, {brief.when}", ", ".join(brief.counts)],
    ]
    return "\n\n".join("\n".join(map(printable, lines)) for lines in blocks if lines) + "\n"


def picture_id(n: int) -> str:
    """The Content-ID of a clip's picture; ``n`` is 1 for the first clip."""
    return f"clip-{n}@{_DOMAIN}"


def _token(text: str) -> str:
    """``text`` as it may stand in a Message-ID."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text) or "night"


def _link_or_none(url: str | None) -> str | None:
    """``url`` where it can be followed from a mail, else None."""
    return url if url is not None and is_web_address(url) else None
