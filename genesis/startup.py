"""What must be known before the first request and not only when the parts are built."""

from __future__ import annotations

import logging

from genesis.agents.registry import AgentRegistry
from genesis.routing.rules import RuleBook
from genesis.tasks.infer import TaskTypeInferrer
from infrastructure.memory.workflow_memory import WorkflowMemory

log = logging.getLogger("genesis")


class Startup:
    """Reads the cards of agents elsewhere, and what users corrected of task types.

    Args:
        registry: holds the URLs whose cards were not read yet.
        rules: must send tasks to agents that there are.
        inferrer: learns the corrections.
        memory: where they are kept; None when memory is off and nothing learnt may be used.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        rules: RuleBook,
        inferrer: TaskTypeInferrer,
        memory: WorkflowMemory | None,
    ) -> None:
        self._registry = registry
        self._rules = rules
        self._inferrer = inferrer
        self._memory = memory
        self._corrected = False

    async def agents(self) -> None:
        """Read the cards; an agent that cannot be reached is said, and tried again next time.

        Raises:
            ConfigError: a rule sends tasks to an agent that is not registered.
        """
        missing = await self._registry.connect()
        for url, problem in missing.items():
            log.warning("the agent at %s is left out: %s", url, problem)
        if not missing:  # else the rules may mean one of those
            self._rules.require_known(self._registry.cards)

    async def corrections(self) -> None:
        """Learn the corrections, once.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._corrected or self._memory is None:
            return
        found = await self._memory.corrections()
        if self._corrected:  # another request was quicker
            return
        self._corrected = True
        for request, task_type in reversed(found):
            self._inferrer.learn(request, task_type)
