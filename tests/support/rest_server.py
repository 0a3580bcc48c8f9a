"""An HTTP server on loopback that gives every request one answer, and counts them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


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

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
