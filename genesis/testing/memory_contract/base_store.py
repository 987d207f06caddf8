"""The contract of LangGraph's `BaseStore`."""

from __future__ import annotations

from genesis.testing.memory_contract.batches import BatchContract
from genesis.testing.memory_contract.expiry import ExpiryContract
from genesis.testing.memory_contract.filters import FilterContract
from genesis.testing.memory_contract.items import ItemContract
from genesis.testing.memory_contract.namespaces import NamespaceContract
from genesis.testing.memory_contract.queries import QueryContract
from genesis.testing.memory_contract.searches import SearchContract


class BaseStoreContract(
    ItemContract,
    NamespaceContract,
    BatchContract,
    SearchContract,
    FilterContract,
    QueryContract,
    ExpiryContract,
):
    """What LangGraph's `BaseStore` promises; see the package for how to use it."""
