"""Who is told of a night: a chat's webhook and people by mail. A failure to tell changes no verdict."""

import os
from dataclasses import dataclass, field

from artifactscan.audit.brief.night_brief import NightBrief
from artifactscan.audit.notify import check_webhook, notify
from artifactscan.audit.page.mail import render_mail
from artifactscan.audit.send_mail import MailServer, default_sender, mail_server, send_mail
from artifactscan.audit.settings import AuditSettings

WEBHOOK_VARIABLE = "ARTIFACTSCAN_WEBHOOK"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Where messages go; both may be missing."""

    webhook: str | None = field(default=None, repr=False)
    server: MailServer | None = None
    sender: str = ""
    recipients: tuple[str, ...] = ()


def message_channels(settings: AuditSettings) -> Channels:
    """Who is to be told, from settings and environment; UsageError, without secrets, where one cannot be used."""
    if webhook := settings.webhook or os.environ.get(WEBHOOK_VARIABLE):
        check_webhook(webhook)
    if not settings.mail_to:
        return Channels(webhook=webhook)
    server = mail_server(settings.smtp)
    sender = settings.mail_from or default_sender(server)
    return Channels(webhook=webhook, server=server, sender=sender, recipients=settings.mail_to)


def send_messages(channels: Channels, brief: NightBrief, page: str) -> list[str]:
    """Tells everybody of a night, whose page is at ``page``; returns a sentence for each that could not be told."""
    failures = []
    if channels.webhook:
        failures.append(notify(channels.webhook, brief, page=page))
    if channels.server:
        mail = render_mail(brief, page=page, sender=channels.sender, recipients=channels.recipients)
        failures.append(send_mail(mail, channels.server))
    return [failure for failure in failures if failure]
