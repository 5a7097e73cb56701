"""The server behind the page: Python's own, on 127.0.0.1 only, read-only, with a fixed list of files."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from converters.errors import ToolError
from toolkit.errors import ServeError
from toolkit.serve.site import MIME, Site

HOST = "127.0.0.1"
SENTENCE = "/sentence"
_BLOCK_BYTES = 1 << 20
_MAX_QUERY = 4096

Speaker = Callable[[dict[str, str]], bytes]
"""Answers ``/sentence``: what was asked for (text, phonemes, seed …) to a packed sentence (``packing.pack``)."""


class PageServer(ThreadingHTTPServer):
    """Serves a site until it is stopped.

    Args:
        site: what is served.
        speaker: answers ``/sentence``; one request at a time, since it runs the graphs.
        port: 0 takes a free one.

    Raises:
        ServeError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, speaker: Speaker, port: int = 0) -> None:
        self.site = site
        self.speaker = speaker
        self.speaking = Lock()
        self.report: Callable[[str], object] = sys.stderr.write
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ServeError(
                f"port {port} cannot be opened: {error.strerror}",
                code="serve/port",
                where=f"{HOST}:{port}",
                hint="leave --port out for a free one",
            ) from error

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in mid-answer is no news; anything else is a defect, and said in the terminal."""
        if not isinstance(sys.exception(), ConnectionError):
            self.report(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "flowlite"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the terminal belongs to the command."""

    def _answer(self, *, send_body: bool) -> None:
        # A page of another origin can point a name of its own at 127.0.0.1; its requests still carry that name.
        if self.headers.get("Host") not in (
            f"{HOST}:{self.server.server_port}",
            f"localhost:{self.server.server_port}",
        ):
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 only", send_body)
            return
        address = urlsplit(self.path)
        if address.path == SENTENCE:
            self._speak(address.query, send_body)
            return
        path = self.server.site.files.get(address.path)  # exactly as sent: nothing is decoded, joined or normalised
        if path is None or not path.is_file():
            self._refuse(HTTPStatus.NOT_FOUND, "no such file", send_body)
            return
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            self._head(HTTPStatus.OK, MIME[path.suffix], size_bytes)
            if send_body:
                while block := file.read(_BLOCK_BYTES):
                    self.wfile.write(block)

    def _speak(self, query: str, send_body: bool) -> None:
        # Only this page may ask for work: another site's page could at least keep the processor busy.
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            self._refuse(HTTPStatus.FORBIDDEN, "for this page only", send_body)
            return
        if len(query) > _MAX_QUERY:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"more than {_MAX_QUERY} characters", send_body)
            return
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            with self.server.speaking:
                body = self.server.speaker(asked)
        except ToolError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), send_body)
            return
        except Exception as error:
            message = f"error[internal/unclassified]: {type(error).__name__}: {error}"
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, message, send_body)
            raise  # to the terminal, by handle_error
        self._head(HTTPStatus.OK, "application/octet-stream", len(body))
        if send_body:
            self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, message: str, send_body: bool) -> None:
        body = message.encode()
        self._head(status, "text/plain; charset=utf-8", len(body))
        if send_body:
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, mime: str, size_bytes: int) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", mime),
            ("Content-Length", str(size_bytes)),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", self.server.site.policy),
            # Isolation, without which a browser gives WebAssembly no threads.
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Embedder-Policy", "require-corp"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
