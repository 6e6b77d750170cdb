"""What the ledger does when Redis or the way to it is in trouble; with real servers."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from impasto.shared.errors import BadSettings, LedgerUnavailable
from impasto.shared.ledger import BatchOpening, BatchState, Control
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from ledger_contract import Clock, counts, fail, finish, opened, postpone, renew, run, sweep, take
from servers import RedisServer, valkey_binary


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(valkey_binary(), tmp_path) as server:
        yield server


def test_a_redis_that_is_down_is_named_and_comes_back(own_server: RedisServer, namespace: str) -> None:
    with connect(own_server.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        own_server.stop()
        told = rf"127\.0\.0\.1:{own_server.port} does not answer"
        for ask in (
            ledger.ping,
            lambda: ledger.status("b"),
            lambda: opened(ledger),
            lambda: ledger.batches(),
            lambda: ledger.running(),
            lambda: ledger.events("b"),
            lambda: ledger.leave("w"),
        ):
            with pytest.raises(LedgerUnavailable, match=told) as error:
                ask()
            assert "\n" not in str(error.value)
        own_server.start()
        opened(ledger)
        assert counts(ledger, "b") == {"due": 4}


def test_what_was_answered_survives_a_server_that_is_killed(own_server: RedisServer, namespace: str) -> None:
    clock = Clock()
    with connect(own_server.url) as client:
        ledger = RedisLedger(client, namespace=namespace, clock=clock)
        opened(ledger, 6, window=5)
        run(ledger, "b", 0)
        take(ledger, "b", 1)
        take(ledger, "b", 2)
        postpone(ledger, "b", 2, delay=60)
        before = ledger.status("b")
        own_server.kill()
        own_server.start()
        assert ledger.status("b") == before
        assert list(ledger.done_pairs("b")) == [0]
        assert renew(ledger, "b", 1) == "held"
        clock.pass_seconds(60)
        assert sweep(ledger, window=5).publish == (("b", 1), ("b", 2), ("b", 5))


def test_a_server_that_forgot_the_scripts_gets_them_again(own_server: RedisServer, namespace: str) -> None:
    with connect(own_server.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        opened(ledger)
        client.script_flush()
        take(ledger, "b", 0)
        client.script_flush()
        assert finish(ledger, "b", 0).counted


def test_a_wrong_password_is_told_and_never_shown(own_server: RedisServer) -> None:
    with connect(own_server.url) as client:
        client.config_set("requirepass", "the right one")
    for url in (own_server.url, own_server.url.replace("//", "//:s3cret@")):
        with connect(url) as client, pytest.raises(LedgerUnavailable, match="user or password") as error:
            RedisLedger(client).ping()
        assert str(own_server.port) in str(error.value)
        assert "s3cret" not in str(error.value)


def test_a_full_redis_refuses_and_keeps_what_it_has(own_server: RedisServer, namespace: str) -> None:
    with connect(own_server.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        opened(ledger)
        take(ledger, "b", 0)
        client.config_set("maxmemory", "1mb")
        with pytest.raises(LedgerUnavailable, match="out of memory: raise its maxmemory"):
            finish(ledger, "b", 0)
        assert counts(ledger, "b") == {"due": 3, "running": 1}
        client.config_set("maxmemory", "0")
        assert finish(ledger, "b", 0).counted


def test_an_address_that_is_none_is_refused_without_showing_it() -> None:
    for url in ("http://:s3cret@here", "redis://:s3c/ret@here:6379/0", "redis://:s3cret@here:port/0"):
        with pytest.raises(BadSettings, match="IMPASTO_REDIS_URL") as error:
            connect(url)
        assert "s3c" not in str(error.value)


class _Wire:
    """A way to the server that can swallow the next answer and hang up, after the command has run."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.swallow_after: bytes | None = None
        self.swallowed = 0

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
                self._carry(client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        asked = b""
        while True:
            # A long command comes in pieces, and its answer only after the last of them.
            ready, _, _ = select.select([client, server], [], [])
            if client in ready:
                piece = client.recv(65_536)
                if not piece:
                    return
                asked += piece
                server.sendall(piece)
            else:
                answer = server.recv(65_536)
                if self.swallow_after is not None and self.swallow_after in asked:
                    self.swallow_after = None
                    self.swallowed += 1
                    return
                asked = b""
                client.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def wire_to(server: RedisServer) -> Iterator[_Wire]:
    wire = _Wire(server)
    thread = threading.Thread(target=wire.serve)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join(timeout=10)


def test_commands_whose_answer_is_lost_run_twice_and_count_once(valkey: RedisServer, namespace: str) -> None:
    with wire_to(valkey) as wire, connect(wire.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        ledger.open(BatchOpening("warm", 1, "so that the server knows the scripts"))

        wire.swallow_after = b"EVALSHA"
        assert ledger.open(BatchOpening("b", 3, "n", token="t")).created
        ledger.advance("b", min_window=3)
        take(ledger, "b", 1, "before")
        wire.swallow_after = b"EVALSHA"
        assert take(ledger, "b", 0).attempt == 1
        finish(ledger, "b", 1, "before")
        wire.swallow_after = b"EVALSHA"
        finish(ledger, "b", 0)
        wire.swallow_after = b"EVALSHA"
        assert ledger.set_priority("b", 2).priority == 2
        wire.swallow_after = b"EVALSHA"
        status = ledger.control("b", Control.CANCEL)

        assert wire.swallowed == 5
        assert (status.state, status.done, status.cancelled) == (BatchState.CANCELLED, 2, 1)
        kinds = [event.type.value for event in ledger.events("b")]
        assert kinds.count("pair.done") == 2
        assert kinds.count("batch.prioritised") == 1
        assert kinds.count("batch.finished") == 1
        wire.swallow_after = b"EVALSHA"
        assert ledger.forget("b")
        assert wire.swallowed == 6


def test_nothing_is_kept_of_settled_pairs_but_bits_and_failures(valkey: RedisServer, namespace: str) -> None:
    clock = Clock()

    def kept_keys() -> set[str]:
        return {key.removeprefix(f"{{{namespace}}}:") for key in client.scan_iter(f"{{{namespace}}}:*")}

    with connect(valkey.url) as client:
        ledger = RedisLedger(client, namespace=namespace, clock=clock)
        for batch in ("whole", "cancelled"):
            opened(ledger, 30, window=30, batch=batch)
            for pair in range(20):
                take(ledger, batch, pair)
                renew(ledger, batch, pair, step=1)
            clock.pass_seconds(31)
            sweep(ledger)
            for pair in range(10):
                take(ledger, batch, pair)
                postpone(ledger, batch, pair, delay=60)
        for pair in range(30):
            finish(ledger, "whole", pair)
        ledger.control("cancelled", Control.CANCEL)
        assert kept_keys() == {
            "batches",
            "unreported",
            "over",
            "sweep",
            "batch:whole:meta",
            "batch:whole:done",
            "batch:whole:events",
            "batch:cancelled:meta",
            "batch:cancelled:events",
        }
        assert client.strlen(f"{{{namespace}}}:batch:whole:done") == 4
        for batch in ("whole", "cancelled"):
            ledger.forget(batch)
        assert kept_keys() == {"sweep"}


def test_more_failed_pairs_than_one_command_moves_are_all_retried(
    valkey: RedisServer, namespace: str
) -> None:
    with connect(valkey.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        opened(ledger, 2_500, window=2_500)
        for pair in range(2_500):
            take(ledger, "b", pair)
            fail(ledger, "b", pair)
        assert ledger.retry("b") == 2_500
        assert ledger.status("b").waiting == 2_500
        assert ledger.advance("b", min_window=3) == [0, 1, 2]


def test_a_batch_that_can_not_be_swept_takes_nothing_from_the_others_and_is_named(
    valkey: RedisServer, namespace: str
) -> None:
    clock = Clock()
    with connect(valkey.url) as client:
        ledger = RedisLedger(client, namespace=namespace, clock=clock)
        for batch in ("a", "broken", "c"):
            opened(ledger, 1, batch=batch)
            clock.pass_seconds(1)
        client.set(f"{{{namespace}}}:batch:broken:leases", "of another type")
        clock.pass_seconds(601)
        swept = sweep(ledger)
        assert set(swept.publish) == {("a", 0), ("c", 0)}
        (trouble,) = swept.troubles
        assert "batch broken" in trouble
        assert "WRONGTYPE" in trouble


def test_two_ledgers_in_one_redis_do_not_meet(valkey: RedisServer, namespace: str) -> None:
    with connect(valkey.url) as client:
        one, other = (RedisLedger(client, namespace=f"{namespace}-{n}") for n in range(2))
        opened(one)
        other.beat("w", {}, ttl_seconds=60)
        assert other.batches() == []
        assert one.workers() == []
