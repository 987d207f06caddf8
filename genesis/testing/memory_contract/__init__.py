"""What a memory store must keep to, as tests to inherit; for any LangGraph `BaseStore`.

    from genesis.testing.memory_contract import BaseStoreContract

    class TestMyStore(BaseStoreContract):
        differs = {"test_an_update_keeps_its_time_of_creation": "it stores no times"}

        @pytest.fixture
        async def open_store(self):
            async with AsyncExitStack() as stack:
                async def open_one(*, index=None, ttl=None):
                    return await stack.enter_async_context(MyStore.open(index=index, ttl=ttl))
                yield open_one

`BaseStoreContract` is what LangGraph's interface promises, with one sensible answer where
LangGraph's own stores disagree. `MemoryContract` adds what Memori offers beyond it: expected
versions, ids of writes, cursors, orders, undo, provenance and more operators of filters.

A promise that a store does not keep goes into `differs` with the reason; its test must then fail,
or with parameters may.
Time passes by a `FakeClock` where the fixture `clock` gives the one that the stores are opened
with; otherwise the tests of expiry sleep a few seconds. Wanted: pytest, and pytest-asyncio with
`asyncio_mode = "auto"`.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "the contract of memory stores is made of tests: pip install pytest pytest-asyncio"
    ) from error

for _part in (
    "batches", "expiry", "filters", "items", "more_filters", "namespaces", "paging", "queries",
    "searches", "setting", "writing",
):  # fmt: skip
    # Before they are imported, for their assertions to say what they compared.
    pytest.register_assert_rewrite(f"{__name__}.{_part}")

from genesis.testing.memory_contract.base_store import BaseStoreContract  # noqa: E402
from genesis.testing.memory_contract.extensions import MemoryContract  # noqa: E402
from genesis.testing.memory_contract.setting import OpenStore  # noqa: E402

__all__ = ["BaseStoreContract", "MemoryContract", "OpenStore"]
