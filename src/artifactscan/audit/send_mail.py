"""Sends a night's mail by SMTP. A failure to send changes no verdict.

Source: RFC 5321 (replies: 4yz may go away, 5yz will not), RFC 3207 (STARTTLS), RFC 8314 (TLS from the first byte).
"""

import os
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from artifactscan.errors import UsageError
from artifactscan.messages.text import printable, without_credentials
from artifactscan.messages.web_address import is_visible_ascii

SERVER_VARIABLE = "ARTIFACTSCAN_SMTP"
TIMEOUT_S = 20.0
"""For connecting, and for each answer."""
WAITS_S = (0.0, 2.0, 4.0)
"""Before each further try."""
_PORTS = {"smtp": 587, "smtps": 465}
_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~0-9A-Za-z.-]+@[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?")
"""What RFC 5321 calls a mailbox, without quoted local parts and addresses of hosts; nothing in it can add a header."""
_REPLY_CHARS = 160
_TEMPORARY = range(400, 500)
_CLOSING = 421
"""The reply with which a server ends the connection, to whatever it was asked."""


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mails are handed over."""

    host: str
    port: int
    encryption: Literal["tls", "starttls", "off"]
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Without user and password."""
        return f"the mail server at {printable(self.host, 100)}:{self.port}"


def mail_server(url: str | None) -> MailServer:
    """The server from an smtp:// or smtps:// URL, or from ARTIFACTSCAN_SMTP for None.

    ``smtp://user:password@host:587`` begins in the clear and demands STARTTLS, ``smtps://…:465`` uses TLS at once;
    certificates are checked. ``?starttls=off`` sends in the clear, without a password unless to this machine.
    UsageError, without user and password, for anything else.
    """
    url = url or os.environ.get(SERVER_VARIABLE)
    if not url:
        raise UsageError(
            f"--mail-to needs a server: put smtp://user:password@host:587 or smtps://… into {SERVER_VARIABLE}"
        )
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        user, password = unquote(parts.username or "", errors="strict"), unquote(parts.password or "", errors="strict")
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise UsageError(_not_a_server("is no URL")) from None
    if parts.scheme not in _PORTS or not host or port == 0 or not is_visible_ascii(url):
        raise UsageError(_not_a_server("is not an smtp:// or smtps:// URL without spaces"))
    if parts.path.strip("/") or parts.fragment or query not in ({}, {"starttls": ["off"]}):
        raise UsageError(_not_a_server("has more than a host, a port and ?starttls=off; write other signs as %2F"))
    if not (user + password).isascii() or not (user + password).isprintable():
        raise UsageError(_not_a_server("has a user or password with signs that SMTP cannot transmit"))
    if bool(user) != bool(password):
        raise UsageError(_not_a_server("has a user without a password, or one without a user"))
    off = bool(query)
    if off and parts.scheme == "smtps":
        raise UsageError(_not_a_server("asks smtps:// for no TLS; leave out ?starttls=off, or use smtp://"))
    if off and password and not _is_this_machine(host):
        raise UsageError(_not_a_server("would send the password in the clear; leave out ?starttls=off"))
    return MailServer(
        host=host,
        port=port or _PORTS[parts.scheme],
        encryption="tls" if parts.scheme == "smtps" else "off" if off else "starttls",
        user=user,
        password=password,
    )


def check_address(address: str, flag: str) -> None:
    """UsageError where ``address`` is no plain mail address."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"{flag} {printable(address, 100)!r} is no mail address; give one such as team@example.com")


def default_sender(server: MailServer) -> str:
    """The server's user where that is an address, else one of this machine."""
    machine = f"artifactscan@{socket.getfqdn()}"
    return next(filter(_ADDRESS.fullmatch, (server.user, machine)), "artifactscan@localhost")


def send_mail(
    mail: EmailMessage, server: MailServer, *, timeout_s: float = TIMEOUT_S, waits_s: tuple[float, ...] = WAITS_S
) -> str | None:
    """Hands ``mail`` over.

    Returns None when the server took it for all recipients, else one sentence that says why not, without the password.
    Tries again after lost connections and 4yz replies, then only for the recipients that have none but those, so that a
    mail can arrive twice, with one Message-ID. Raises nothing for failures of the network or the server.
    """
    failure, taken = "", False
    refused: dict[str, tuple[int, bytes]] = {}
    recipients: list[str] | None = None
    for wait_s in (None, *waits_s):
        if wait_s is not None:
            time.sleep(wait_s)
        try:
            answers, some = _send(mail, server, timeout_s, recipients)
        except (smtplib.SMTPException, OSError) as error:
            failure = _in_words(error, timeout_s)
            if not _may_go_away(error):
                break
            continue
        taken |= some
        refused = {address: reply for address, reply in refused.items() if reply[0] not in _TEMPORARY} | answers
        failure = f"refused {_recipients(refused)}"
        recipients = [address for address, (code, _) in answers.items() if code in _TEMPORARY]
        if not recipients:
            break
    if taken:
        return f"{server.name} took the mail, but not for {_recipients(refused)}" if refused else None
    return f"the mail was not sent: {server.name} {failure}"


def _send(
    mail: EmailMessage, server: MailServer, timeout_s: float, recipients: list[str] | None
) -> tuple[dict[str, tuple[int, bytes]], bool]:
    """One try, to those of ``mail`` for None; returns who was refused, and whether somebody was not."""
    context = ssl.create_default_context()
    if server.encryption == "tls":
        connection = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    try:
        if server.encryption == "starttls":
            connection.starttls(context=context)
        if server.password:
            connection.login(server.user, server.password)
        return connection.send_message(mail, to_addrs=recipients), True
    except smtplib.SMTPRecipientsRefused as error:
        if any(code == _CLOSING for code, _ in error.recipients.values()):
            raise  # the others were not asked
        return error.recipients, False
    finally:
        with suppress(smtplib.SMTPException, OSError):  # the mail is taken or refused by now
            connection.quit()


def _may_go_away(error: Exception) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return True  # see _send
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code in _TEMPORARY or error.smtp_code == -1  # -1: no reply
    return not isinstance(error, ssl.SSLCertVerificationError) and (
        isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(error, smtplib.SMTPException)
    )


def _in_words(error: Exception, timeout_s: float) -> str:
    """Why it was not sent, to follow the server's name; of a refused login not the reply, which may repeat it."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"refused the user or password ({error.smtp_code})"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"refused {_recipients(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"answered {_reply(error.smtp_code, error.smtp_error)}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"cannot do what is needed ({_text(str(error))}); for a relay that you trust add ?starttls=off"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted ({_text(error.verify_message)}); SSL_CERT_FILE names others"
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):  # smtplib wraps some
        return f"did not answer within {timeout_s:g} s"
    if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException):
        return f"cannot be reached ({_text(error.strerror or type(error).__name__)})"
    return f"did not take it ({_text(str(error))})"


def _recipients(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{printable(address, 100)} ({_reply(code, text)})" for address, (code, text) in refused.items())


def _reply(code: int, text: bytes | str) -> str:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code}: {_text(said)}" if said else str(code)


def _text(said: str) -> str:
    return printable(without_credentials(" ".join(said.split())), _REPLY_CHARS)


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):  # a name, such as 127.example.com
        return ip_address(host).is_loopback
    return host == "localhost"


def _not_a_server(why: str) -> str:
    return (
        f"{SERVER_VARIABLE} (or --smtp) {why}; give one such as smtp://user:password@mail.example.com:587, with signs "
        "such as @ and / in the password as %40 and %2F"
    )
