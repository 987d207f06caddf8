"""What the tests of the contract are given: stores to open, and time that passes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import pytest
from langgraph.store.base import BaseStore, IndexConfig, SearchItem, TTLConfig

from genesis.testing.clock import FakeClock

NS: Final = ("users", "ada")
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


class OpenStore(Protocol):
    """Opens an empty store, closed after the test."""

    async def __call__(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> BaseStore: ...


class Lives:
    """Time counted in lives of an item; without a clock to move, lives are short and slept."""

    def __init__(self, clock: FakeClock | None) -> None:
        self._clock = clock
        self.minutes = 10.0 if clock else 1.5 / 60

    async def pass_by(self, lives: float) -> None:
        """Let so many lives pass."""
        if self._clock is not None:
            self._clock.advance(lives * self.minutes * 60)
        else:
            await asyncio.sleep(lives * self.minutes * 60)


class Setting:
    """The fixtures; `open_store` is to be given by who inherits the contract.

    Attributes:
        differs: the tests whose promises the store does not keep, with the reason of each.
    """

    differs: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def known_differences(self, request: pytest.FixtureRequest) -> None:
        name = str(getattr(request.node, "originalname", request.node.name))
        if name in self.differs:
            # Of a test with parameters some may pass.
            strict = name == request.node.name
            request.applymarker(pytest.mark.xfail(reason=self.differs[name], strict=strict))

    @pytest.fixture
    def clock(self) -> FakeClock | None:
        return None

    @pytest.fixture
    def lives(self, clock: FakeClock | None) -> Lives:
        return Lives(clock)

    @pytest.fixture
    async def open_store(self) -> OpenStore:
        raise NotImplementedError(
            "give a fixture `open_store`: see genesis.testing.memory_contract"
        )

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> BaseStore:
        return await open_store()


def keys(hits: Sequence[SearchItem]) -> list[str]:
    """The keys of what was found, in order."""
    return [hit.key for hit in hits]


async def value_of(store: BaseStore, key: str) -> dict[str, Any] | None:
    """What is stored under a key of NS."""
    item = await store.aget(NS, key)
    return None if item is None else item.value


def letter_counts(texts: Sequence[str]) -> list[list[float]]:
    """An embedder whose cosines one can work out: how often each letter occurs."""
    return [[float(text.lower().count(letter)) for letter in LETTERS] for text in texts]


def letters(fields: list[str] | None = None) -> IndexConfig:
    """An index of these fields by `letter_counts`."""
    config = IndexConfig(dims=len(LETTERS), embed=letter_counts)
    if fields is not None:
        config["fields"] = fields
    return config
