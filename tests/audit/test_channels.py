"""Who is told of a night, and what happens where somebody cannot be told."""

from typing import Any

import pytest
from reports import make_report

from artifactscan.audit.brief.night_brief import night_brief
from artifactscan.audit.channels import WEBHOOK_VARIABLE, Channels, message_channels, send_messages
from artifactscan.audit.send_mail import SERVER_VARIABLE, MailServer
from artifactscan.audit.settings import SECRETS, AuditSettings
from artifactscan.errors import UsageError

servers = pytest.importorskip("mail_server", reason="aiosmtpd is not installed")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WEBHOOK_VARIABLE, SERVER_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def settings(**changes: Any) -> AuditSettings:
    return AuditSettings(corpus="/corpus", store="/store", **changes)


def test_nobody_is_told_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVER_VARIABLE, "smtps://mail.example.com")
    assert message_channels(settings()) == Channels()
    assert send_messages(Channels(), night_brief(make_report()), "page.html") == []


def test_channels_come_from_flags_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, "https://hooks.example.com/x")
    monkeypatch.setenv(SERVER_VARIABLE, "smtps://audit%40example.com:secret@mail.example.com")
    found = message_channels(settings(mail_to=("a@example.com", "b@example.com")))
    server = MailServer(
        host="mail.example.com", port=465, encryption="tls", user="audit@example.com", password="secret"
    )
    assert found == Channels(
        webhook="https://hooks.example.com/x",
        server=server,
        sender="audit@example.com",
        recipients=("a@example.com", "b@example.com"),
    )
    assert "secret" not in repr(found) and "hooks" not in repr(found)
    other = message_channels(settings(mail_to=("a@example.com",), mail_from="x@y.z", smtp="smtps://other.example.com"))
    assert (other.sender, other.server and other.server.host) == ("x@y.z", "other.example.com")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mail_to": ("nobody",)}, "--mail-to 'nobody' is no mail address"),
        ({"mail_to": ("a@b.c",), "mail_from": "x\r\nBcc: y"}, r"--mail-from 'x\\\\r\\\\nBcc: y' is no mail address"),
        ({"mail_from": "a@b.c"}, "--mail-from and --smtp send no mail by themselves"),
        ({"smtp": "smtps://h"}, "--mail-from and --smtp send no mail by themselves"),
        ({"page_url": "audits.example.com"}, "--page-url 'audits.example.com' is not an http:// or https:// address"),
        ({"page_url": "https://h:99999"}, "--page-url 'https://h:99999' is not an http:// or https:// address"),
        ({"page_url": "https://[::1"}, r"--page-url 'https://\[::1' is not an http:// or https:// address"),
        ({"page_url": "https://h/a b"}, "is not an http:// or https:// address without spaces"),
        ({"page_url": "https://me:sec ret@h"}, "--page-url 'https://…@h' is not an http:// or https:// address"),
    ],
)
def test_wrong_usage(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings(**changes)


def test_mail_without_a_server_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=f"put smtp.* into {SERVER_VARIABLE}"):
        message_channels(settings(mail_to=("a@example.com",)))


def test_addresses_and_servers_are_not_kept() -> None:
    assert {"webhook", "smtp", "mail_to", "mail_from"} == SECRETS


def test_the_mail_arrives_and_a_webhook_that_is_gone_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artifactscan.audit.notify.BACKOFF_S", 0.01)
    brief = night_brief(make_report(videos=120))
    with servers.mail_server() as server:
        channels = message_channels(
            settings(
                mail_to=("a@example.com",),
                mail_from="audit@example.com",
                smtp=server.url(query="?starttls=off"),
                webhook="http://127.0.0.1:1/secret",
            )
        )
        [failure] = send_messages(channels, brief, "https://audits.example.com/report.html")
        assert failure.startswith("the webhook at 127.0.0.1:1 was not notified: ")
        [mail] = server.mails
    assert mail["Subject"] == f"artifactscan: {brief.sentence}"
    assert mail["To"] == "a@example.com" and mail["From"] == "audit@example.com"
    [text, related] = mail.iter_parts()
    assert text.get_content().splitlines()[0] == brief.sentence
    assert len(list(related.iter_parts())) == 1 + len(brief.clips)  # type: ignore[attr-defined]


def test_a_mail_that_is_refused_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.mail_server() as server:
        server.to_data = ["554 no"]
        asked = settings(mail_to=("a@example.com",), smtp=server.url(query="?starttls=off"))
        [failure] = send_messages(message_channels(asked), night_brief(make_report()), "page.html")
        assert failure == f"the mail was not sent: the mail server at 127.0.0.1:{server.port} answered 554: no"
