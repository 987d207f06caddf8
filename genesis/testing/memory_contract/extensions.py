"""The contract of what Memori offers beyond LangGraph's `BaseStore`."""

from __future__ import annotations

from genesis.testing.memory_contract.base_store import BaseStoreContract
from genesis.testing.memory_contract.more_filters import MoreFilterContract
from genesis.testing.memory_contract.paging import PagingContract
from genesis.testing.memory_contract.writing import WritingContract


class MemoryContract(BaseStoreContract, MoreFilterContract, PagingContract, WritingContract):
    """All that `MemoriStore` promises; see the package for how to use it."""
