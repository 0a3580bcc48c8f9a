"""HTTP servers on loopback."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class QuietHandler(BaseHTTPRequestHandler):
    """Logs no request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class _QuietFiles(QuietHandler, SimpleHTTPRequestHandler):
    pass


@contextmanager
def serving(handler: Callable[..., Any], *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server whose requests ``handler`` answers, each in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def files_of(folder: Path) -> Callable[..., Any]:
    """A handler that gives the files of a folder."""
    return partial(_QuietFiles, directory=str(folder))
