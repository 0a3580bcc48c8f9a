"""A mail server on loopback: TLS, STARTTLS, logins, and replies of choice."""

import asyncio
import email.policy
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "audit@example.com", "p@ss/w:rd-distinctive"
TAKEN = "250 taken"


@dataclass
class MailServer:
    """What a server was given, and what it answers: each list in turn, its last entry for ever."""

    port: int = 0
    to_recipients: list[dict[str, str]] = field(default_factory=lambda: [{}])
    """By recipient; TAKEN for others."""
    closing_at: list[str] = field(default_factory=list)
    """Recipients that are answered 421 once."""
    to_data: list[str] = field(default_factory=lambda: [TAKEN])
    silent_s: float = 0.0
    """Before a mail is answered."""
    envelopes: list[Envelope] = field(default_factory=list)
    """All that came to its end, taken or not."""
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    def url(self, scheme: str = "smtp", *, login: str = "", query: str = "") -> str:
        return f"{scheme}://{login}127.0.0.1:{self.port}{query}"

    @property
    def mails(self) -> list[EmailMessage]:
        policy = email.policy.default
        return [message_from_bytes(one.content or b"", EmailMessage, policy=policy) for one in self.envelopes]  # type: ignore[arg-type]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.closing_at:
            self.closing_at.remove(address)
            return "421 closing"
        answer = self.to_recipients[0].get(address, TAKEN)
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        await asyncio.sleep(self.silent_s)
        if len(self.to_recipients) > 1:
            self.to_recipients.pop(0)
        return self.to_data.pop(0) if len(self.to_data) > 1 else self.to_data[0]

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        login = data.login.decode(), data.password.decode()
        self.logins.append(login)
        return AuthResult(success=login == (USER, PASSWORD), handled=False)


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, login: bool = False
) -> Iterator[MailServer]:
    """A server on 127.0.0.1; ``tls`` from the first byte, ``starttls`` when asked; ``login`` is demanded."""
    state, loop = MailServer(), asyncio.new_event_loop()

    def protocol() -> SMTP:
        return SMTP(
            state,
            hostname="mail.test",
            loop=loop,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=state.authenticate if login else None,
            auth_required=login,
            auth_require_tls=starttls is not None,
        )

    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0, ssl=tls))
    state.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
