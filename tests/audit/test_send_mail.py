"""Mails handed to a real SMTP server on loopback: encryption, logins, refusals, retries."""

import socket
import ssl
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from authority import make_authority

from artifactscan.audit.send_mail import (
    SERVER_VARIABLE,
    WAITS_S,
    MailServer,
    check_address,
    default_sender,
    mail_server,
    send_mail,
)
from artifactscan.errors import UsageError

servers = pytest.importorskip("mail_server", reason="aiosmtpd is not installed")
PASSWORD = servers.PASSWORD
LOGIN = f"{quote(servers.USER, safe='')}:{quote(PASSWORD, safe='')}@"
FAST = (0.0, 0.01, 0.01)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def context(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What the server presents; its authority is trusted here."""
    trusted, context = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return context


def a_mail(to: str = "one@example.com, two@example.com") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "a night", "audit@example.com", to
    mail.set_content("text")
    return mail


def send(url: str, *, timeout_s: float = 5.0, to: str = "one@example.com, two@example.com") -> str | None:
    """What ``send_mail`` says, in which the password never is."""
    said = send_mail(a_mail(to), mail_server(url), timeout_s=timeout_s, waits_s=FAST)
    assert PASSWORD not in (said or "") and quote(PASSWORD, safe="") not in (said or "")
    return said


def not_sent(said: str | None, port: int) -> str:
    prefix = f"the mail was not sent: the mail server at 127.0.0.1:{port} "
    assert said is not None and said.startswith(prefix)
    return said.removeprefix(prefix)


# Encryption and logins


def test_starttls_with_a_login(context: ssl.SSLContext) -> None:
    with servers.mail_server(starttls=context, login=True) as server:
        assert send(server.url(login=LOGIN)) is None
        assert server.encrypted == [True]
        assert server.logins == [(servers.USER, PASSWORD)]
        [envelope] = server.envelopes
        assert envelope.rcpt_tos == ["one@example.com", "two@example.com"]
        assert server.mails[0]["Subject"] == "a night"


def test_tls_from_the_first_byte(context: ssl.SSLContext) -> None:
    with servers.mail_server(tls=context) as server:
        assert send(server.url("smtps")) is None
        assert len(server.envelopes) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_is_not_trusted_gets_no_password(
    authority: tuple[Path, ssl.SSLContext], scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other, _ = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    context = authority[1]
    encryption = {"starttls": context} if scheme == "smtp" else {"tls": context}
    with servers.mail_server(**encryption, login=True) as server:
        said = not_sent(send(server.url(scheme, login=LOGIN)), server.port)
        assert said.startswith("has a certificate that is not trusted (")
        assert said.endswith("); SSL_CERT_FILE names others")
        assert server.logins == [] and server.envelopes == []


def test_a_certificate_of_another_host_is_refused(context: ssl.SSLContext) -> None:
    with servers.mail_server(starttls=context) as server:
        url = f"smtp://localhost:{server.port}"
        said = send(url)
        assert said is not None and "has a certificate that is not trusted (Hostname mismatch" in said
        assert server.envelopes == []


def test_a_server_without_starttls_gets_nothing() -> None:
    with servers.mail_server() as server:
        said = not_sent(send(server.url()), server.port)
        assert said == (
            "cannot do what is needed (STARTTLS extension not supported by server.); for a relay that you trust add "
            "?starttls=off"
        )
        assert server.envelopes == []
        assert send(server.url(query="?starttls=off")) is None
        assert server.encrypted == [False]


def test_a_refused_login_is_not_tried_again_and_shows_no_password(context: ssl.SSLContext) -> None:
    with servers.mail_server(starttls=context, login=True) as server:
        said = not_sent(send(server.url(login="audit%40example.com:wrong-password@")), server.port)
        assert said == "refused the user or password (535)"
        assert {password for _, password in server.logins} == {"wrong-password"}
        assert server.envelopes == []


def test_a_login_that_is_missing(context: ssl.SSLContext) -> None:
    with servers.mail_server(starttls=context, login=True) as server:
        assert not_sent(send(server.url()), server.port).startswith("answered 530: ")


# Replies


def test_a_temporary_refusal_is_tried_again() -> None:
    with servers.mail_server() as server:
        server.to_data = ["451 try later", "421 too busy", servers.TAKEN]
        assert send(server.url(query="?starttls=off")) is None
        assert len(server.envelopes) == 3
        assert len({mail["Message-ID"] for mail in server.mails}) == 1


def test_a_lasting_temporary_refusal_is_reported_after_the_tries() -> None:
    with servers.mail_server() as server:
        server.to_data = ["451 4.7.1 greylisted, try later"]
        said = not_sent(send(server.url(query="?starttls=off")), server.port)
        assert said == "answered 451: 4.7.1 greylisted, try later"
        assert len(server.envelopes) == 1 + len(WAITS_S)


def test_a_refusal_is_reported_at_once() -> None:
    with servers.mail_server() as server:
        server.to_data = ["554 5.7.1 looks like spam\x1b[31m from smtp://a:secret@host"]
        said = not_sent(send(server.url(query="?starttls=off")), server.port)
        assert said == "answered 554: 5.7.1 looks like spam\\x1b[31m from smtp://…@host"
        assert len(server.envelopes) == 1


def test_all_recipients_are_refused() -> None:
    with servers.mail_server() as server:
        server.to_recipients = [{"one@example.com": "550 no such user", "two@example.com": "550 nor this"}]
        said = not_sent(send(server.url(query="?starttls=off")), server.port)
        assert said == "refused one@example.com (550: no such user), two@example.com (550: nor this)"
        assert server.envelopes == []


def test_one_of_two_recipients_is_refused() -> None:
    with servers.mail_server() as server:
        server.to_recipients = [{"two@example.com": "550 no such user"}]
        said = send(server.url(query="?starttls=off"))
        assert said == (
            f"the mail server at 127.0.0.1:{server.port} took the mail, but not for two@example.com (550: no such user)"
        )
        assert server.envelopes[0].rcpt_tos == ["one@example.com"]


def test_only_recipients_with_a_temporary_refusal_are_sent_to_again() -> None:
    with servers.mail_server() as server:
        server.to_recipients = [{"two@example.com": "451 greylisted", "three@example.com": "550 no such user"}, {}]
        said = send(server.url(query="?starttls=off"), to="one@example.com, two@example.com, three@example.com")
        assert said is not None and said.endswith("took the mail, but not for three@example.com (550: no such user)")
        assert [one.rcpt_tos for one in server.envelopes] == [["one@example.com"], ["two@example.com"]]


def test_a_lasting_temporary_refusal_of_one_recipient_is_reported() -> None:
    with servers.mail_server() as server:
        server.to_recipients = [{"two@example.com": "451 greylisted"}]
        said = send(server.url(query="?starttls=off"))
        assert said is not None and said.endswith("took the mail, but not for two@example.com (451: greylisted)")
        assert [one.rcpt_tos for one in server.envelopes] == [["one@example.com"]]


def test_a_server_that_closes_at_a_recipient_is_asked_again_for_all() -> None:
    with servers.mail_server() as server:
        server.closing_at = ["two@example.com"]
        assert send(server.url(query="?starttls=off")) is None
        assert [one.rcpt_tos for one in server.envelopes] == [["one@example.com", "two@example.com"]]


def test_a_silent_server_is_reported() -> None:
    with servers.mail_server() as server:
        server.silent_s = 1.0
        said = not_sent(send(server.url(query="?starttls=off"), timeout_s=0.2), server.port)
        assert said == "did not answer within 0.2 s"


def test_a_server_that_is_not_there_is_reported() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert not_sent(send(f"smtps://127.0.0.1:{port}"), port) == "cannot be reached (Connection refused)"


def test_a_host_without_an_address_is_reported() -> None:
    said = send("smtp://mail.invalid")
    assert said is not None and said.startswith("the mail was not sent: the mail server at mail.invalid:587 cannot be")


# URLs and addresses


def test_what_a_url_says() -> None:
    assert mail_server(f"smtp://{LOGIN}mail.example.com") == MailServer(
        host="mail.example.com", port=587, encryption="starttls", user=servers.USER, password=PASSWORD
    )
    assert mail_server("smtps://[::1]") == MailServer(host="::1", port=465, encryption="tls")
    assert mail_server("smtp://relay:25?starttls=off") == MailServer(host="relay", port=25, encryption="off")
    assert mail_server(f"smtp://{LOGIN}127.0.0.1:25/?starttls=off").encryption == "off"
    assert mail_server(f"smtp://{LOGIN}localhost:25?starttls=off").encryption == "off"
    assert mail_server(f"smtp://{LOGIN}[::1]:25?starttls=off").encryption == "off"
    assert PASSWORD not in repr(mail_server(f"smtp://{LOGIN}mail.example.com"))


def test_the_server_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVER_VARIABLE, "smtps://mail.example.com")
    assert mail_server(None).host == "mail.example.com"
    assert mail_server("smtps://other.example.com").host == "other.example.com"
    monkeypatch.delenv(SERVER_VARIABLE)
    with pytest.raises(UsageError, match=f"--mail-to needs a server: put smtp.* into {SERVER_VARIABLE}"):
        mail_server(None)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://u:S3CRET@mail.example.com",
        "smtp://u:S3CRET@",
        "smtp://u:S3CRET@host:port",
        "smtp://u:S3CRET@host:0",
        "smtp://u:S3CRET@host:70000",
        "smtp://u:S3CRET@[::1",
        "smtp://u:S3CRET/x@host",
        "smtp://u:S3CRET@host/folder",
        "smtp://u:S3CRET@host?starttls=maybe",
        "smtp://u:S3CRET@host?x",
        "smtps://u:S3CRET@host?starttls=off",
        "smtp://u:S3CRET@host?starttls=off",
        "smtp://u:S3CRET@127.evil.example?starttls=off",
        "smtp://u:S3CRET%C3%A9@host",
        "smtp://u:S3CRET%0d%0aX@host",
        "smtp://u:S3CRET%FF@host",
        "smtp://:S3CRET@host",
        "smtp://S3CRET@host",
        "smtp://u:S3CRET@ho st",
        "smtp://u:S3CRET@host\n",
    ],
)
def test_what_is_no_server_is_wrong_usage_without_the_secret(url: str) -> None:
    with pytest.raises(UsageError, match=f"^{SERVER_VARIABLE} ") as refused:
        mail_server(url)
    assert "S3CRET" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a@",
        "@b",
        "a@b\r\nBcc: c@d",
        "a b@c",
        "a@b, c@d",
        "A <a@b>",
        "é@example.com",
        "a@ex\u202eample",
        "a@-b",
        "-f@b@c",
    ],
)
def test_what_is_no_address_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError, match=r"^--mail-to .* is no mail address; give one such as"):
        check_address(address, "--mail-to")


def test_the_sender_is_the_server_s_user_or_this_machine() -> None:
    server = mail_server(f"smtp://{LOGIN}mail.example.com")
    assert default_sender(server) == servers.USER
    assert default_sender(mail_server("smtp://mail.example.com")).startswith("artifactscan@")
    check_address(default_sender(mail_server("smtp://mail.example.com")), "--mail-from")
