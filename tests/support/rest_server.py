"""An HTTP server on loopback that gives every request one answer, and counts them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from loopback import QuietHandler, serving


@dataclass
class RestServer:
    url: str = ""
    status: int = 500
    body: bytes = b"{}"
    delay_s: float = 0.0
    requests: int = 0


@contextmanager
def rest_server() -> Iterator[RestServer]:
    """A running one."""
    state = RestServer()

    class Handler(QuietHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            state.requests += 1
            time.sleep(state.delay_s)
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            with suppress(ConnectionError):  # the client has given up waiting
                self.wfile.write(state.body)

        do_GET = do_POST = do_PATCH = answer

    with serving(Handler) as url:
        state.url = url
        yield state
