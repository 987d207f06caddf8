"""What a source or a run caused is forgotten as if it had never been there, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import IndexConfig

from genesis.testing import FakeClock
from infrastructure.memory.base_store_memory import BaseStoreMemory
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.finished_run import FinishedRun, apply_feedback, finish_write
from infrastructure.memory.learning_metrics import learning_metrics
from infrastructure.memory.memori import archive_ledger, patterns, run_sources, segments, tables
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import Forgotten, forget
from infrastructure.memory.memori.index_service import texts_of
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.runs import RunFeedback, RunRecord, accept_run
from infrastructure.memory.memori.schema import MIGRATIONS
from infrastructure.memory.memori.search_index import SearchIndex
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem
from infrastructure.memory.memori.vector_block import VectorBlock
from infrastructure.memory.memori.workflows import session_rows
from infrastructure.memory.workflow_memory import WorkflowMemory

NS = ("notes",)
AGENTS = ("ann", "bob", "cy")
RUNS = ("r1", "r2", "r3", "r4")
SESSIONS = ("s1", "s2")
TYPES = ("testing", "debugging")
STEPS = ((), ("a:ann:m",), ("a:ann:m", "b:bob:"))
QUERIES = ("banana", "cherry ann", "ann0 bob1 cy2")
_tenants = count()


def letters() -> IndexConfig:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "abn"] for text in texts]

    return IndexConfig(embed=embed, dims=3)


def origin(agent: str, run_id: str = "") -> Provenance:
    return Provenance(f"agent:{agent}", run_id)


def finished(run_id: str, agents: Sequence[str] = ("ann",), **changes: Any) -> FinishedRun:
    values: dict[str, Any] = {
        "run_id": run_id,
        "session_id": "s1",
        "request": f"ask {run_id}",
        "task_type": "testing",
        "success": True,
        "steps": ("a:ann:m",),
        "duration_s": 2.0,
        "cost_usd": 0.01,
        "given": ("project",),
        "plan": {"tasks": [{"id": "t1"}]},
        "events": (f'{{"said":"event of {run_id}"}}',),
        "outcomes": tuple(
            OutcomeRecord("testing", "run", agent, "", "low", True, 1.5, 0.002, f"t{n}")
            for n, agent in enumerate(agents)
        ),
    }
    return FinishedRun(**{**values, **changes})


@pytest.fixture(params=["memory", "file", "postgres"])
def memori(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memori]:
    places = {
        "memory": lambda: ":memory:",
        "file": lambda: str(tmp_path / "memori.db"),
        "postgres": lambda: str(request.getfixturevalue("postgres_url")),
    }
    opened = Memori.open(places[request.param](), clock=FakeClock())
    yield opened
    opened.close()


# The law


@dataclass(frozen=True)
class Put:
    agent: str
    run_id: str
    number: int
    word: str

    def __call__(self, world: World) -> None:
        key = f"{self.agent}/{self.run_id}/{self.number}"
        store = world.store.with_provenance(origin(self.agent, self.run_id))
        store.put(NS, key, {"text": f"{self.word} {self.agent}{self.number} an"})


@dataclass(frozen=True)
class Delete:
    agent: str
    run_id: str
    number: int

    def __call__(self, world: World) -> None:
        world.store.delete(NS, f"{self.agent}/{self.run_id}/{self.number}")


@dataclass(frozen=True)
class Finish:
    run_id: str
    agents: tuple[str, ...]
    session_id: str
    task_type: str
    steps: tuple[str, ...]
    success: bool
    plan: int

    def __call__(self, world: World) -> None:
        run = finished(
            self.run_id,
            self.agents,
            session_id=self.session_id,
            task_type=self.task_type,
            steps=self.steps,
            success=self.success,
            plan={"tasks": [self.plan]},
        )
        world.memori.commit_sync(finish_write(run, world.memori.clock.now()))


@dataclass(frozen=True)
class Feedback:
    run_id: str
    success: bool

    def __call__(self, world: World) -> None:
        said = RunFeedback(self.run_id, self.success, None, None, world.memori.clock.now())
        if self.run_id in world.finished:
            world.memori.commit_sync(lambda tx: apply_feedback(tx, said))


@dataclass(frozen=True)
class Compact:
    session_id: str

    def __call__(self, world: World) -> None:
        world.service._compact(world.memori, self.session_id, "n", extract=True)  # pyright: ignore[reportPrivateUsage]  # the law runs without a loop


@dataclass(frozen=True)
class Look:
    """Makes the index follow, so that there are segments to be rewritten."""

    def __call__(self, world: World) -> None:
        world.store.search(NS, query="banana")


Action = Put | Delete | Finish | Feedback | Compact | Look

_agents, _runs = st.sampled_from(AGENTS), st.sampled_from(RUNS)
_maybe_run, _number = st.sampled_from(("", *RUNS)), st.integers(0, 2)
actions = st.one_of(
    st.builds(Put, _agents, _maybe_run, _number, st.sampled_from(("banana", "cherry"))),
    st.builds(Delete, _agents, _maybe_run, _number),
    st.builds(
        Finish,
        _runs,
        st.lists(_agents, min_size=1, max_size=2).map(tuple),
        st.sampled_from(SESSIONS),
        st.sampled_from(TYPES),
        st.sampled_from(STEPS),
        st.booleans(),
        st.integers(0, 1),
    ),
    st.builds(Feedback, _runs, st.booleans()),
    st.builds(Compact, st.sampled_from(SESSIONS)),
    st.just(Look()),
)


class World:
    """One tenant in which things happen, each at a time of its own."""

    def __init__(self, root: Memori) -> None:
        self.memori = root.for_tenant(f"t{next(_tenants)}")
        self.clock = FakeClock()
        self.memori.clock = self.clock
        self.store = MemoriStore(self.memori, index=letters())
        self.service = CompactionService(WorkflowMemory(self.memori))
        self.finished: set[str] = set()

    def live(self, sequence: Sequence[Action], happens: Callable[[Action], bool]) -> None:
        for action in sequence:
            self.clock.advance(7)
            if happens(action):
                action(self)
                if isinstance(action, Finish):
                    self.finished.add(action.run_id)

    def state(self) -> dict[str, Any]:
        """All that can be asked, without numbers that only order."""
        told = self.memori.read_sync(_told)
        for query in QUERIES:
            found = self.store.search(NS, query=query, limit=100)
            told[query] = [
                (
                    hit.key,
                    hit.value,
                    hit.created_at,
                    None if hit.score is None else f"{hit.score:.5f}",
                )
                for hit in found
            ]
        return told


_SAME = (
    "runs", "run_feedback", "run_sources", "pattern_counts", "workflow_counts", "outcomes",
    "outcome_counts", "plan_runs", "plan_exemplars", "run_journals", "run_events", "deleted_items",
    "items",
)  # fmt: skip


def _told(tx: Tx) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for table in tables.KEPT:
        if table.name in _SAME:
            names = tables.columns(tx, table)
            told[table.name] = [row for page in tables.pages(tx, table, names) for row in page]
    told["cases"] = tx.execute(
        "SELECT digest, structure, task_type, given, successes, failures, duration_us, cost_nusd,"
        " last_used, current_rate FROM plan_cases"
        " WHERE tenant = ? AND successes + failures > 0 ORDER BY digest",
        (tx.tenant,),
    ).fetchall()
    told["sessions"] = [session_rows(tx, session).workflows() for session in SESSIONS]
    archived, held = archive_ledger.totals(tx)
    told["archives"] = (archived, held.records, held.original_bytes)
    told["metrics"] = [learning_metrics(tx, kind, None, None) for kind in (None, *TYPES)]
    told["patterns"] = [patterns.patterns(tx, kind, 0.0) for kind in TYPES]
    return told


def _caused(sequence: Sequence[Action], agent: str) -> Callable[[Action], bool]:
    """Whether an action was caused by an agent, or happened in a run that it took part in."""
    ended: dict[str, Finish] = {}
    for action in sequence:
        if isinstance(action, Finish):
            ended.setdefault(action.run_id, action)
    runs = {run_id for run_id, action in ended.items() if agent in action.agents}
    # What an agent wrote, put back where it was deleted, tells of the runs that it wrote in.
    runs |= {a.run_id for a in sequence if isinstance(a, Put) and a.agent == agent and a.run_id}

    def caused(action: Action) -> bool:
        by = isinstance(action, Put | Delete) and action.agent == agent
        return by or getattr(action, "run_id", "") in runs

    return caused


def _check_law(root: Memori, sequence: Sequence[Action], agent: str) -> None:
    caused = _caused(sequence, agent)
    with_it, without = World(root), World(root)
    with_it.live(sequence, lambda action: True)
    without.live(sequence, lambda action: not caused(action))
    source = f"agent:{agent}"
    with_it.memori.commit_sync(lambda tx: forget(tx, source=source))
    assert with_it.state() == without.state()
    again = with_it.memori.commit_sync(lambda tx: forget(tx, source=source))
    assert again == [Forgotten()]
    dead = with_it.memori.read_sync(indexed_beyond_items)
    assert dead == set()


def indexed_beyond_items(tx: Tx) -> set[int]:
    """The ids that stored segments hold of items that are no longer there."""
    rows = tx.execute("SELECT kind, body FROM index_segments WHERE tenant = ?", (tx.tenant,))
    found: set[int] = set()
    for kind, body in rows.fetchall():
        if kind.startswith("text:"):
            found.update(Postings.from_bytes(body).ids.tolist())
        else:
            found.update(VectorBlock.from_bytes(body).items.tolist())
    live = tx.execute("SELECT id FROM items WHERE tenant = ?", (tx.tenant,)).fetchall()
    return found - {item for (item,) in live}


@settings(max_examples=30, deadline=None)
@given(st.lists(actions, max_size=25), _agents)
def test_forgetting_a_source_leaves_the_rest_as_if_it_had_never_been(
    sequence: Sequence[Action], agent: str
) -> None:
    root = Memori.open(":memory:")
    try:
        _check_law(root, sequence, agent)
    finally:
        root.close()


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(actions, max_size=15), _agents)
def test_it_is_the_same_on_postgresql(
    postgres_url: str, sequence: Sequence[Action], agent: str
) -> None:
    root = Memori.open(postgres_url)
    try:
        _check_law(root, sequence, agent)
    finally:
        root.close()


# What belongs to a source


def test_exactly_one_of_source_and_run_is_given(memori: Memori) -> None:
    wrong: list[dict[str, Any]] = [{}, {"source": "a", "run_id": "b"}, {"source": ""}]
    for arguments in [*wrong, {"run_id": ""}, {"source": 3}, {"source": "x" * 501}]:
        with pytest.raises(InvalidItem):
            memori.commit_sync(lambda tx, given=arguments: forget(tx, **cast("Any", given)))


async def test_items_of_a_source_go_and_those_of_others_stay(memori: Memori) -> None:
    store = MemoriStore(memori)
    for agent in ("ann", "bob"):
        await store.awrite(NS, agent, {"text": f"plum of {agent}"}, provenance=origin(agent))
    await store.awrite(NS, "gone", {"text": "pear"}, provenance=origin("ann"))
    await store.adelete(NS, "gone")
    (forgotten,) = await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    assert forgotten == Forgotten(items=2)
    assert [hit.key for hit in await store.asearch(NS, query="plum")] == ["bob"]
    assert await store.aundelete(NS, "gone") is None


async def test_the_id_of_a_forgotten_write_is_forgotten_too(memori: Memori) -> None:
    store = MemoriStore(memori)
    await store.awrite(NS, "k", {"n": 1}, provenance=origin("ann"), write_id="w")
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    assert await memori.read(lambda tx: tx.execute("SELECT 1 FROM applied_writes").fetchall()) == []


async def test_another_tenant_keeps_what_it_has(memori: Memori) -> None:
    other = memori.for_tenant("other")
    await MemoriStore(other).awrite(NS, "k", {"n": 1}, provenance=origin("ann"))
    await WorkflowMemory(other).finish(finished("r1"))
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    assert await MemoriStore(other).aget(NS, "k") is not None
    assert await WorkflowMemory(other).sources("r1") == ["agent:ann", "session:s1"]


async def test_a_session_is_the_source_of_all_its_runs(memori: Memori) -> None:
    memory = WorkflowMemory(memori)
    await memory.finish(finished("r1", session_id="s1"))
    await memory.finish(finished("r2", session_id="s2"))
    await memori.commit(lambda tx: accept_run(tx, RunRecord("r3", "s1", "still going on", 5.0)))
    assert await memory.forget(source="session:s1") == Forgotten(runs=2, workflows=1)
    assert [run.run_id for run in await memory.runs()] == ["r2"]


async def test_a_run_whose_plan_was_taken_is_a_source(memori: Memori) -> None:
    memory = WorkflowMemory(memori)
    await memory.finish(finished("r1"))
    await memory.finish(finished("r2", sources=("run:r1",)))
    assert await memory.sources("r2") == ["agent:ann", "run:r1", "session:s1"]
    await memory.forget(run_id="r1")
    assert await memory.run("r2") is not None
    await memory.forget(source="run:r1")
    assert await memory.run("r2") is None


async def test_whoever_wrote_an_item_in_a_run_took_part_in_it(memori: Memori) -> None:
    memory, store = WorkflowMemory(memori), MemoriStore(memori)
    await memory.finish(finished("r1"))
    await store.awrite(NS, "k", {}, provenance=Provenance("https://a.example/doc", "r1"))
    assert "https://a.example/doc" in await memory.sources("r1")
    forgotten = await memory.forget(source="https://a.example/doc")
    assert forgotten == Forgotten(items=1, runs=1, workflows=1)
    assert await memory.run("r1") is None


async def test_forgetting_one_run_says_whether_it_was_known(memori: Memori) -> None:
    memory = WorkflowMemory(memori)
    await memory.finish(finished("r1"))
    assert await memory.forget_run("r1")
    assert not await memory.forget_run("r1")


async def test_a_case_without_runs_keeps_nothing_that_can_be_read(memori: Memori) -> None:
    here, there = WorkflowMemory(memori), WorkflowMemory(memori)
    vector = np.array([1.0, 0.0], dtype=np.float32)
    await here.finish(finished("r1", vector=vector, given=("secret",)))
    assert len((await there.recall("testing", "ask", vector, ["secret"])).cases) == 1
    await here.forget(run_id="r1")
    rows = await memori.read(
        lambda tx: tx.execute("SELECT structure, task_type, given FROM plan_cases").fetchall()
    )
    assert rows == [("", "", "[]")]
    assert (await there.recall("testing", "ask", vector, ["secret"])).cases == ()
    await here.finish(finished("r2", vector=vector, given=("secret",)))
    (case,) = (await there.recall("testing", "ask", vector, ["secret"])).cases
    assert (case.run_id, case.given, case.task_type) == ("r2", ("secret",), "testing")


async def test_memory_over_another_store_forgets_a_source_there_too() -> None:
    root = Memori.open(":memory:")
    try:
        log = MemoriStore(root)
        memory = BaseStoreMemory(log)
        await memory.finish(finished("r1", ("ann",), sources=("user:ada",)))
        await memory.finish(finished("r2", ("bob",)))
        await memory.forget(source="user:ada")
        await memory.aclose()
        reopened = BaseStoreMemory(log)
        assert [run.run_id for run in await reopened.runs()] == ["r2"]
        assert await reopened.sources("r2") == ["agent:bob", "session:s1"]
        await reopened.aclose()
    finally:
        await root.aclose()


def test_runs_stored_before_there_were_sources_have_their_agents() -> None:
    earlier = [m for m in MIGRATIONS if m.name != "run_sources"]
    (step,) = (m for m in MIGRATIONS if m.name == "run_sources")
    assert MIGRATIONS.index(step) > MIGRATIONS.index(
        next(m for m in earlier if m.name == "outcomes")
    )
    memori = Memori.open(":memory:")
    try:
        memori.commit_sync(finish_write(finished("r1", ("ann", "bob")), 5.0))

        def begin_again(tx: Tx) -> list[str]:
            for index in ("deleted_items_by_source", "deleted_items_by_run"):
                tx.execute(f"DROP INDEX {index}")
            tx.execute("DROP TABLE run_sources")
            step.apply(tx)
            return run_sources.of_run(tx, "r1")

        assert memori.commit_sync(begin_again) == [["agent:ann", "agent:bob", "session:s1"]]
    finally:
        memori.close()


# Where it is kept


async def test_words_and_vectors_leave_the_stored_index_also_of_what_was_replaced(
    memori: Memori,
) -> None:
    store = MemoriStore(memori, index=letters())
    mine = store.with_provenance(origin("ann"))
    await mine.aput(NS, "k", {"text": "aardvark"})
    await store.asearch(NS, query="aardvark")
    await store.aput(NS, "k", {"text": "banana"})  # another's: the first version is dead
    await mine.aput(NS, "l", {"text": "nectarine"})
    await store.asearch(NS, query="banana")
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    assert await memori.read(indexed_beyond_items) == set()
    assert await memori.read(_terms) == {"banana"}
    assert [(hit.key, hit.score is None) for hit in await store.asearch(NS, query="banana")] == [
        ("k", False)
    ]


async def test_an_index_in_memory_is_loaded_anew_without_what_was_forgotten(
    memori: Memori,
) -> None:
    index = SearchIndex(None, texts_of)
    store = MemoriStore(memori)
    await store.awrite(NS, "k", {"text": "aardvark"}, provenance=origin("ann"))
    await store.awrite(NS, "l", {"text": "banana"})
    await store.asearch(NS, query="banana")
    await memori.read(index.follow)
    assert len(index) == 2
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    await memori.read(index.follow)
    assert len(index) == 1
    epoch = await memori.read(segments.epoch)
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    assert await memori.read(segments.epoch) == epoch


@pytest.mark.parametrize("kind", ["text:%", "vectors:%"])
async def test_a_damaged_index_does_not_keep_anything_from_being_forgotten(
    memori: Memori, kind: str
) -> None:
    store = MemoriStore(memori, index=letters())
    await store.awrite(NS, "k", {"text": "aardvark"}, provenance=origin("ann"))
    await store.awrite(NS, "l", {"text": "banana"})
    await store.asearch(NS, query="banana")
    await memori.commit(
        lambda tx: tx.execute(
            "UPDATE index_segments SET body = ? WHERE kind LIKE ?", (b"damaged", kind)
        )
    )
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    (hit,) = await store.asearch(NS, query="banana")
    await store.awrite(NS, "m", {"text": "plum"})
    found = {hit.key: hit.score for hit in await store.asearch(NS, query="banana")}
    assert hit.key == "l"
    assert found["l"] is not None
    assert await memori.read(_terms) == {"banana", "plum"}


def _terms(tx: Tx) -> set[str]:
    rows = tx.execute("SELECT body FROM index_segments WHERE kind LIKE 'text:%'").fetchall()
    return {term for (body,) in rows for term in Postings.from_bytes(body).terms}


async def test_what_is_being_indexed_while_it_is_forgotten_does_not_come_back(
    memori: Memori,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def embed(texts: Sequence[str]) -> list[list[float]]:
        begun.set()
        assert go_on.wait(30)
        return [[1.0, 0.0, 0.0] for _ in texts]

    store = MemoriStore(memori, index=IndexConfig(embed=embed, dims=3))
    await store.awrite(NS, "k", {"text": "aardvark"}, provenance=origin("ann"))
    assert begun.wait(30)
    await memori.commit(lambda tx: forget(tx, source="agent:ann"))
    go_on.set()
    await store.awrite(NS, "l", {"text": "banana"})
    (hit,) = await store.asearch(NS, query="banana")
    assert hit.key == "l"
    assert await memori.read(_terms) == {"banana"}
    assert await memori.read(indexed_beyond_items) == set()


async def test_nothing_of_it_can_be_found_in_the_files_of_a_closed_store(tmp_path: Path) -> None:
    path = tmp_path / "memori.db"
    memori = Memori.open(path)
    store = MemoriStore(memori).with_provenance(origin("ann", "r1"))
    for n in range(50):
        await store.aput(NS, f"k{n}", {"text": f"the password is hunter2-{n} " + "x" * 3000})
    await store.adelete(NS, "k7")
    await WorkflowMemory(memori).finish(finished("r1", request="change hunter2", events=()))
    await store.asearch(NS, query="password")
    await WorkflowMemory(memori).forget(source="agent:ann")
    await memori.aclose()
    left = {file.name: b"hunter2" in file.read_bytes() for file in tmp_path.iterdir()}
    assert not any(left.values()), left
