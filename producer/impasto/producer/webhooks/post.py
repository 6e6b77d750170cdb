"""One POST to a webhook: to a checked address, without redirects, bounded in time and in what is read."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import httpcore
import httpx

from impasto.producer.webhooks.addresses import Allowed, Resolve, resolved, system_resolve
from impasto.shared.errors import BadSettings, ImpastoError
from impasto.shared.printable import printable

CONNECT_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 20.0
"""Of a whole POST, however slowly the answer drips."""
_READ_BYTES: Final = 4096
_EXCERPT_CHARACTERS: Final = 200
_MOST_WAIT_SECONDS: Final = 24 * 3600.0

GONE: Final = 410


@dataclass(frozen=True)
class Answer:
    """What came of one POST. `status` None: no answer, and `error` says why.

    `excerpt` is the beginning of the answer's body, for people. `retry_after_seconds` as the endpoint asked.
    """

    seconds: float
    status: int | None = None
    error: str = ""
    excerpt: str = ""
    retry_after_seconds: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class _Stream(httpcore.NetworkStream):
    """A socket whose every wait ends at the deadline."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _in_words(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(_left(self._deadline, timeout))
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _in_words(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(_left(self._deadline, timeout))
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            with _in_words(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._socket.settimeout(_left(self._deadline, timeout))
                secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._socket if info == "socket" else None


class _Backend(httpcore.NetworkBackend):
    """Connects to nothing but addresses that were checked a moment before."""

    def __init__(self, allowed: Allowed, resolve: Resolve, deadline: float) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = resolved(host, port, self._allowed, self._resolve)
        for address in others:
            try:
                return self._connect(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(last, port, timeout)

    def _connect(self, address: str, port: int, timeout: float | None) -> _Stream:
        with _in_words(httpcore.ConnectTimeout, httpcore.ConnectError):
            connected = socket.create_connection((address, port), _left(self._deadline, timeout))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Stream(connected, self._deadline)


class _Transport(httpx.BaseTransport):
    """httpx on top of our connections; its own transport takes none."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trusted(), network_backend=backend, max_keepalive_connections=0
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class Poster:
    """Posts to webhooks. Safe to share between threads.

    Every POST has a connection of its own, so that each is checked. `resolve`: how names are looked up.
    """

    def __init__(self, allowed: Allowed, resolve: Resolve = system_resolve) -> None:
        self.allowed = allowed
        self._resolve = resolve

    def post(
        self, url: str, body: str, headers: Mapping[str, str], *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """Never raises for what the network or the endpoint does: the answer says it."""
        began = time.monotonic()
        deadline = began + deadline_seconds
        sent = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"impasto/{version('impasto')}",
            **headers,
        }
        try:
            request = _request(url, body, sent)
            with (
                _Transport(_Backend(self.allowed, self._resolve, deadline)) as transport,
                closing(transport.handle_request(request)) as response,
            ):
                excerpt = _beginning(response)
                return Answer(
                    time.monotonic() - began,
                    response.status_code,
                    excerpt=excerpt,
                    error=_complaint(response),
                    retry_after_seconds=_retry_after(response.headers.get("retry-after")),
                )
        except (ImpastoError, *_FAULTS) as error:
            return Answer(time.monotonic() - began, error=_told(error))

    def reach(self, host: str, port: int, *, tls: bool) -> None:
        """Connect, and end the connection. Raises BadSettings for an address that is refused, and
        Unreachable when nobody answers, or not as that host.
        """
        backend = _Backend(self.allowed, self._resolve, time.monotonic() + CONNECT_SECONDS)
        try:
            stream = backend.connect_tcp(host, port, CONNECT_SECONDS)
            if tls:
                stream = stream.start_tls(_trusted(), server_hostname=host, timeout=CONNECT_SECONDS)
            stream.close()
        except BadSettings:
            raise
        except (ImpastoError, *_FAULTS) as error:
            raise Unreachable(_told(error)) from error


class Unreachable(Exception):
    """Nobody answers there now; its words say why."""


_FAULTS: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.HTTPError,
    httpx.InvalidURL,
)


def _request(url: str, body: str, headers: Mapping[str, str]) -> httpx.Request:
    """The POST, to be handed to the transport itself: httpx's client logs each URL, with all its secrets."""
    timeout = httpx.Timeout(DEADLINE_SECONDS, connect=CONNECT_SECONDS)
    request = httpx.Request(
        "POST", url, content=body.encode(), headers=headers, extensions={"timeout": timeout.as_dict()}
    )
    if request.url.userinfo:
        next(httpx.BasicAuth(request.url.username, request.url.password).auth_flow(request))
    return request


@cache
def _trusted() -> ssl.SSLContext:
    """Who may vouch for a host: certifi's authorities, or those of SSL_CERT_FILE or SSL_CERT_DIR."""
    return httpx.create_ssl_context()


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the whole took too long")
    return left if timeout is None else min(left, timeout)


@contextmanager
def _in_words(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise broken(f"its certificate is not trusted: {error.verify_message}") from error
    except OSError as error:
        raise broken(error.strerror or str(error)) from error


def _told(error: Exception) -> str:
    if isinstance(error, httpcore.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, httpcore.TimeoutException):
        return f"no answer within {DEADLINE_SECONDS:g} s"
    return printable(" ".join(str(error).split()) or type(error).__name__)


def _complaint(response: httpx.Response) -> str:
    """What stands in the way, where the status alone does not tell."""
    if response.is_redirect:
        return "it redirects, and redirects are not followed: add the URL that it leads to"
    if response.status_code == GONE:
        return "it is gone: the webhook is switched off"
    return ""


def _beginning(response: httpx.Response) -> str:
    """As much of the answer as people want to see; the rest is never read."""
    read = b""
    try:
        for chunk in response.iter_raw():
            read += chunk
            if len(read) >= _READ_BYTES:
                break
    except _FAULTS:
        # The status came: the delivery is decided, whatever becomes of the body.
        pass
    return printable(read[:_READ_BYTES].decode("utf-8", "replace").strip()[:_EXCERPT_CHARACTERS])


def _retry_after(value: str | None) -> float | None:
    """Seconds, or until a date; None for what is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), _MOST_WAIT_SECONDS) if seconds == seconds else None
