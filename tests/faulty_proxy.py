"""A real HTTP server in front of an S3 server that misbehaves on demand, as networks and servers do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Fault(Enum):
    """What becomes of a request."""

    NONE = auto()
    RESET = auto()  # the connection is reset before the server hears of it
    LOST_REPLY = auto()  # the server does it, and the reply is lost
    SLOW_DOWN = auto()  # 503 SlowDown with Retry-After
    BROKEN = auto()  # 500 InternalError
    STALL = auto()  # no reply, with the connection open
    SHORT_BODY = auto()  # half of the body, then a reset
    WEB_PAGE = auto()  # a login page with state 200
    TIDY_WEB_PAGE = auto()  # the same in well-formed XML and with an ETag, as static pages have
    REDIRECT = auto()  # to a login page elsewhere
    NOT_FOUND_PAGE = auto()  # 404 from an ingress whose server is gone
    UNKNOWN_HEADER = auto()  # 501, as servers without conditional puts answer
    CONFLICT = auto()  # 409, as Amazon answers to a put while another one is under way
    EXPIRED_TOKEN = auto()  # 403, as to a login that ran out
    SKEWED_CLOCK = auto()  # 403, as to a machine whose clock is wrong
    IGNORED_CONDITION = auto()  # `If-None-Match` is not looked at


_HTML = {"Content-Type": "text/html; charset=utf-8"}
_PAGES: dict[Fault, tuple[int, bytes, dict[str, str]]] = {
    Fault.WEB_PAGE: (200, b"<html><p>Please log in", _HTML),
    Fault.TIDY_WEB_PAGE: (200, b"<html><p>Please log in</p></html>", {**_HTML, "ETag": '"5f3a1b2c-264"'}),
    Fault.REDIRECT: (302, b"", {**_HTML, "Location": "/login"}),
    Fault.NOT_FOUND_PAGE: (404, b"404 page not found", {"Content-Type": "text/plain"}),
}


_REFUSALS: dict[Fault, str] = {
    Fault.EXPIRED_TOKEN: "ExpiredToken",
    Fault.SKEWED_CLOCK: "RequestTimeTooSkewed",
}


class FaultyProxy:
    """`with FaultyProxy(url) as proxy:` passes requests on to `url`, less what `next` and `always` spoil."""

    def __init__(self, upstream_url: str) -> None:
        self.upstream_url = upstream_url
        self.always = Fault.NONE
        self.delay_seconds = 0.0
        """How long each request waits before anything is done with it."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request, in order."""
        self._next: deque[tuple[str, Fault]] = deque()
        self._closing = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                proxy._serve(self)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Tests say what went wrong themselves."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that went away is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, method: str, *faults: Fault) -> None:
        """The next requests of this method suffer these faults, one each."""
        self._next.extend((method, fault) for fault in faults)

    @property
    def has_shown_all(self) -> bool:
        """Whether each fault given to `next` has been suffered."""
        return not self._next

    @contextmanager
    def suffering(self, fault: Fault) -> Iterator[None]:
        """Every request suffers the fault meanwhile."""
        self.always = fault
        try:
            yield
        finally:
            self.always = Fault.NONE

    def count(self, method: str) -> int:
        return sum(m == method for m, _ in self.requests)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append((handler.command, handler.path))
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        fault = self.always
        if self._next and self._next[0][0] == handler.command:
            _, fault = self._next.popleft()
        handler.close_connection = fault is not Fault.NONE
        if fault is Fault.RESET:
            _reset(handler.connection)
        elif fault is Fault.STALL:
            self._closing.wait(60)
        elif fault is Fault.SLOW_DOWN:
            _answer(handler, 503, _error("SlowDown"), {"Retry-After": "7"})
        elif fault is Fault.BROKEN:
            _answer(handler, 500, _error("InternalError"))
        elif fault is Fault.CONFLICT:
            _answer(handler, 409, _error("ConditionalRequestConflict"))
        elif fault is Fault.UNKNOWN_HEADER and "If-None-Match" in handler.headers:
            _answer(handler, 501, _error("NotImplemented"))
        elif fault in _REFUSALS:
            _answer(handler, 403, _error(_REFUSALS[fault]))
        elif fault in _PAGES:
            state, body, headers = _PAGES[fault]
            _answer(handler, state, body, headers)
        else:
            self._pass_on(handler, body, fault)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
        headers = {
            name: value
            for name, value in handler.headers.items()
            if name != "Expect" and not (fault is Fault.IGNORED_CONDITION and name == "If-None-Match")
        }
        upstream = http.client.HTTPConnection(urlsplit(self.upstream_url).netloc, timeout=60)
        try:
            upstream.request(handler.command, handler.path, body, headers)
            reply = upstream.getresponse()
            content = reply.read()
        finally:
            upstream.close()
        if fault is Fault.LOST_REPLY:
            _reset(handler.connection)
            return
        kept = {n: v for n, v in reply.getheaders() if n not in ("Connection", "Server", "Date")}
        kept.setdefault("Content-Length", str(len(content)))
        if fault is Fault.SHORT_BODY:
            _answer(handler, reply.status, content[: len(content) // 2], kept)
            handler.wfile.flush()
            _reset(handler.connection)
        else:
            _answer(handler, reply.status, content, kept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(
    handler: BaseHTTPRequestHandler, state: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(state)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    if handler.close_connection:
        # Unsaid, a client may use the connection again in the moment before it is closed.
        handler.send_header("Connection", "close")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


def _reset(connection: socket.socket) -> None:
    """Closed with bytes unsent thrown away, which the other side sees as a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    connection.close()
