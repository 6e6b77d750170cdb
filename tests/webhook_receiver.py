"""A real HTTP server that takes webhooks and verifies them with the scheme's own library."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

from workers import eventually


@dataclass(frozen=True)
class Post:
    """One POST as it came. `event` is None where no secret verified it."""

    id: str
    headers: dict[str, str]
    body: str
    event: dict[str, Any] | None


class Answer:
    """What the receiver does with one POST."""

    def __init__(
        self,
        status: int = 204,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        reset: bool = False,
        wait: threading.Event | None = None,
        drip: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.body = body
        self.reset = reset
        self.wait = wait
        self.drip = drip


class Receiver:
    """Listens on a loopback port of its own; a context manager. Answers 204 unless told otherwise.

    `secrets` are those that verify; `answers` are given in turn.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.secrets: list[str] = []
        self.answers: deque[Answer] = deque()
        self.posts: list[Post] = []
        self.ending = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                receiver._take(self, body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The bodies that were verified, as they came."""
        return [post.event for post in self.posts if post.event is not None]

    def wait_for(self, posts: int, each: Callable[[], object] = lambda: None) -> None:
        """Until so many POSTs came; `each` is called in between."""

        def came() -> bool:
            each()
            return len(self.posts) >= posts

        eventually(came, seconds=30, what=f"POST number {posts}")

    def verified(self, post_body: str, headers: dict[str, str]) -> dict[str, Any] | None:
        for secret in self.secrets:
            try:
                event: dict[str, Any] = Webhook(secret).verify(post_body, headers)
            except WebhookVerificationError:
                continue
            return event
        return None

    def _take(self, request: BaseHTTPRequestHandler, body: str) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.answers.popleft() if self.answers else Answer()
        self.posts.append(Post(headers.get("webhook-id", ""), headers, body, self.verified(body, headers)))
        if answer.wait is not None:
            answer.wait.wait()
        if answer.reset:
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # The file objects on it would keep a plain close waiting.
            os.close(request.connection.detach())
            return
        if answer.drip:
            while not self.ending.wait(0.05):
                request.connection.sendall(b"H")
            return
        request.send_response(answer.status)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(answer.body)))
        request.end_headers()
        request.wfile.write(answer.body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
