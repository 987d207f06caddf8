"""Builds an orchestrator's parts from its settings: the one place that knows them all."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from genesis.active import ActiveRuns
from genesis.agents import composite
from genesis.agents.registry import AgentRegistry, AgentSource
from genesis.context import Services
from genesis.errors import InputError, StoreError
from genesis.execution.attempt import TaskRunner
from genesis.execution.delivery import Deliveries
from genesis.execution.hedge import Hedges
from genesis.execution.slots import AgentSlots
from genesis.planning.learnt import LearntPlanner
from genesis.planning.model import ModelPlanner
from genesis.planning.planner import Planner
from genesis.planning.reader import RequestReader
from genesis.planning.skill_planner import SkillPlanner
from genesis.planning.template import TemplateBook, TemplatePlanner
from genesis.planning.wanted import WantedData
from genesis.remembering import Remembering
from genesis.routing.candidates import Exploration
from genesis.routing.options import ModelOption
from genesis.routing.prices import Prices
from genesis.routing.priors import configured_priors
from genesis.routing.router import Router
from genesis.routing.rules import RuleBook
from genesis.startup import Startup
from genesis.tasks.infer import TaskTypeInferrer
from infrastructure.a2a.agent import AgentCard
from infrastructure.clock import Clock, SystemClock, new_id
from infrastructure.config import FeatureFlags, Settings
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.deciders import decider_for
from infrastructure.memory.base_store_memory import BaseStoreMemory
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.models.chat import ChatModel, ChatModels
from infrastructure.models.prices import Prices as ModelPrices
from infrastructure.processes import this_process
from infrastructure.resilience.breaker import Breakers

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.store.base import BaseStore

    from genesis.routing.policy import RoutingPolicy

log = logging.getLogger("genesis.memory")

StoreSource: TypeAlias = "str | Path | BaseStore"
ModelSource: TypeAlias = "str | BaseChatModel | ChatModel"


def assemble(
    settings: Settings,
    flags: FeatureFlags,
    store: StoreSource | None,
    agents: Sequence[AgentSource] | None,
    model: ModelSource | Sequence[ModelSource] | None,
    clock: Clock | None = None,
) -> Services:
    """Build the parts; nothing is opened or loaded before it is used.

    Raises:
        ConfigError: a rule, template or price is wrong.
        InputError: the store, an agent or the routing policy is none that can be used.
    """
    clock = clock or SystemClock()
    memory = _memory(store, settings, clock)
    if flags.memory_enabled:
        log.info("memory integration enabled: %s", _place(store, memory))
    else:
        log.warning("memory is off (memory_enabled): runs are recorded, nothing is recalled")
    for note in memory.notes:
        log.info("memory: %s", note)
    models = _models(model, settings)
    breakers = Breakers(clock)
    registry = AgentRegistry(breakers)
    if agents is None:
        from genesis.agents.builtin import register_builtin  # only who wants them pays for them

        register_builtin(registry, models, confine_generated=settings.sandbox != "never")
    for agent in agents or ():
        registry.register(agent)
    registry.register(composite)
    slots = AgentSlots()
    configured_priors()  # a wrong file is an error now, not at the first request
    rules = RuleBook.load()
    embedder = BuiltinEmbedder()
    inferrer = TaskTypeInferrer(embedder)
    book = TemplateBook.load(
        cards=lambda: _own_cards(registry),
        infer=lambda text: inferrer.infer(text).task_type,
        reader=RequestReader(embedder),
    )

    def wanting(services: Services, request: str, data: Collection[str]) -> Services:
        part = copy(book)
        part.deliverables = WantedData(book.deliverables, request, data)
        planners = _planners(settings, models, registry, part)
        return replace(services, planners=planners, templates=part, deliverables=part.deliverables)

    return Services(
        settings=settings,
        flags=flags,
        clock=clock,
        memory=memory,
        owns_store=not isinstance(store, MemoriStore),
        memory_tool=MemoryTool(memory),
        compaction=_compaction(memory, settings),
        remembering=remembering_for(memory, settings, flags, embedder, clock),
        inferrer=inferrer,
        embedder=embedder,
        models=models,
        registry=registry,
        planners=_planners(settings, models, registry, book),
        templates=book,
        deliverables=book.deliverables,
        rules=rules,
        router=_router(settings, flags, rules, registry, breakers, slots, models, embedder),
        runner=TaskRunner(
            registry,
            Deliveries(registry, breakers, slots, clock),
            clock,
            timeout_s=settings.task_timeout_s,
            check_timeout_s=settings.task_timeout_s,
            hedges=None if settings.hedge_after is None else Hedges(settings.hedge_after),
        ),
        startup=Startup(registry, rules, inferrer, memory if flags.memory_enabled else None),
        active=ActiveRuns(),
        owner=partial(this_process, new_id(clock)),
        wanting=wanting,
    )


def for_tenant(services: Services, tenant: str) -> Services:
    """The same parts with another tenant's memory, and nothing that was learnt from others."""
    memory = services.memory.for_tenant(tenant)
    inferrer = TaskTypeInferrer(services.embedder)
    learnt = memory if services.flags.memory_enabled else None
    return replace(
        services,
        settings=services.settings.model_copy(update={"tenant": tenant}),
        memory=memory,
        owns_store=False,
        memory_tool=MemoryTool(memory),
        compaction=_compaction(memory, services.settings),
        remembering=remembering_for(
            memory, services.settings, services.flags, services.embedder, services.clock
        ),
        inferrer=inferrer,
        startup=Startup(services.registry, services.rules, inferrer, learnt),
        active=ActiveRuns(),
    )


def _compaction(memory: WorkflowMemory, settings: Settings) -> CompactionService:
    return CompactionService(memory, keep_journals_days=settings.keep_journals_days)


def remembering_for(
    memory: WorkflowMemory,
    settings: Settings,
    flags: FeatureFlags,
    embedder: Embedder,
    clock: Clock,
) -> Remembering | None:
    """What is told to requests over this store and learnt from them; None where memory is off."""
    if not flags.memory_enabled:
        return None

    def choose() -> tuple[Decider, str]:
        return decider_for(flags.agemem_policy, embedder, settings.memory_policy)

    return Remembering(memory.items, choose, embedder, clock)


def _own_cards(registry: AgentRegistry) -> list[AgentCard]:
    """Those whose skills users ask for by name; nobody asks for a request within a request."""
    return [card for card in registry.cards if card is not composite.CARD]


def _memory(store: StoreSource | None, settings: Settings, clock: Clock) -> WorkflowMemory:
    if isinstance(store, MemoriStore):
        return WorkflowMemory(store.memori)
    if store is None or isinstance(store, str | Path):
        place = str(store) if store is not None else settings.db_path
        try:
            return WorkflowMemory(Memori.open(place, tenant=settings.tenant, clock=clock))
        except StoreError as error:  # nothing is opened yet: it is the place that is wrong
            raise InputError(str(error)) from error
    if not callable(getattr(store, "abatch", None)):
        raise InputError(
            f"a {type(store).__name__} is no store: give a path, a postgresql:// URL, a "
            "MemoriStore or a LangGraph BaseStore object"
        )
    return BaseStoreMemory(store, tenant=settings.tenant, clock=clock)


def _place(store: StoreSource | None, memory: WorkflowMemory) -> str:
    if store is None or isinstance(store, str | Path):
        return memory.memori.place
    return type(store).__name__


def _models(model: ModelSource | Sequence[ModelSource] | None, settings: Settings) -> ChatModels:
    if model is None:
        return ChatModels(settings.models)
    if isinstance(model, str):
        return ChatModels([name.strip() for name in model.split(",") if name.strip()])
    return ChatModels(list(model) if isinstance(model, Sequence) else [model])


def _planners(
    settings: Settings, models: ChatModels, registry: AgentRegistry, book: TemplateBook
) -> tuple[Planner, ...]:
    def cards() -> Sequence[AgentCard]:
        return registry.cards

    return (
        LearntPlanner(
            book.deliverables,
            cards,
            declared=book.declared,
            min_similarity=settings.min_similarity,
        ),
        ModelPlanner(models, cards, book.deliverables),
        TemplatePlanner(book),
        SkillPlanner(book),
    )


def _router(
    settings: Settings,
    flags: FeatureFlags,
    rules: RuleBook,
    registry: AgentRegistry,
    breakers: Breakers,
    slots: AgentSlots,
    models: ChatModels,
    embedder: Embedder,
) -> Router:
    def healthy() -> Mapping[str, bool]:
        return {card.name: registry.health(card.name).available for card in registry.cards}

    def load() -> Mapping[str, int]:
        return {name: seen.active + seen.waiting for name, seen in slots.statistics.items()}

    exploration = None
    if flags.exploration_enabled and flags.memory_enabled:
        # Exploration guards nothing, so a fast generator will do.
        exploration = Exploration(random.Random(), settings.exploration_floor)  # noqa: S311
    return Router(
        rules,
        cards=lambda: registry.cards,
        healthy=healthy,
        load=load,
        models=_model_options(models),
        prices=Prices(
            usd_per_second=settings.seconds_price_usd, success_usd=settings.success_value_usd
        ),
        max_attempts=settings.max_attempts,
        tenant=settings.tenant,
        exploration=exploration,
        policy=_policy(settings.routing_policy, embedder) if flags.memory_enabled else None,
    )


def _policy(path: Path | None, embedder: Embedder) -> RoutingPolicy | None:
    if path is None:
        return None
    from genesis.routing.policy_file import load_policy  # only who has one pays for it

    policy = load_policy(path)
    card, own = policy.card, (embedder.name, embedder.version)
    if card.dimensions and (card.embedder, card.embedder_version) != own:
        raise InputError(
            f"the routing policy {path} takes vectors by {card.embedder} {card.embedder_version}, "
            f"those made here are by {' '.join(own)}: train it again"
        )
    return policy


def _model_options(models: ChatModels) -> list[ModelOption]:
    if not models.names:
        return []
    prices = ModelPrices.read()
    return [
        ModelOption(name, prices.price(name).input, prices.price(name).output)
        for name in models.names
    ]
