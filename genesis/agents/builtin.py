"""The agents that ship: those that work with tools alone, and those that need a chat model."""

from __future__ import annotations

from genesis.agents import builder, generalist, writer
from genesis.agents.adapters import FunctionAgent
from genesis.agents.builder_checks import make_checks
from genesis.agents.data_analyst import agent as data_analyst
from genesis.agents.debugger import agent as debugger
from genesis.agents.documenter import agent as documenter
from genesis.agents.profiler import agent as profiler
from genesis.agents.registry import AgentRegistry
from genesis.agents.tester import agent as tester
from infrastructure.models.chat import ChatModels


def register_builtin(
    registry: AgentRegistry, models: ChatModels, *, confine_generated: bool = True
) -> None:
    """Add every agent that ships, with its acceptance checks.

    Args:
        registry: takes them.
        models: the chat models that some of them use.
        confine_generated: whether code that a model wrote runs in the sandbox.
    """
    for module in (data_analyst, tester, documenter, profiler, debugger):
        registry.register(module)
    registry.register(
        FunctionAgent(builder.CARD, builder.make_agent(models, confined=confine_generated)),
        checks=make_checks(confined=confine_generated),
        checks_of_data=builder.CHECKS_OF_DATA,
    )
    for module in (generalist, writer):
        registry.register(
            FunctionAgent(module.CARD, module.make_agent(models)),
            checks=module.CHECKS,
            checks_of_data=module.CHECKS_OF_DATA,
        )
