"""`genesis agents list` and `genesis agents check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from genesis.agents.builtin import register_builtin
from genesis.agents.check import RegistryReport, check_agents
from genesis.agents.findings import RegistryFinding
from genesis.agents.registry import AgentRegistry
from genesis.cli.common import FAILED, cli_settings, print_json, run_async
from genesis.cli.render import consoles
from genesis.errors import ConfigError
from genesis.planning.template import TemplateBook
from genesis.routing.rules import RuleBook
from infrastructure.a2a.agent import AgentCard
from infrastructure.models.chat import ChatModels
from infrastructure.text import counted

T = TypeVar("T")


def list_command(*, as_json: bool) -> None:
    """Print every agent that ships, with its operations."""
    run_async(_list(as_json=as_json), as_json=as_json)


async def _list(*, as_json: bool) -> None:
    registry, models = _registry()
    cards = list(registry.cards)
    if as_json:
        print_json({"agents": cards, "model_configured": models.configured})
        return
    out, err = consoles()
    out.print(_table(cards), soft_wrap=False)
    if not models.configured:
        err.print("agents marked * need a chat model: set GENESIS_MODEL=provider:name")


def _registry() -> tuple[AgentRegistry, ChatModels]:
    models = ChatModels(cli_settings().models)
    registry = AgentRegistry()
    register_builtin(registry, models)
    return registry, models


def _table(cards: list[AgentCard]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("agent", "operation", "requires", "produces", "what it does"):
        table.add_column(column, no_wrap=column in ("agent", "operation"))
    for card in cards:
        for skill in card.skills:
            table.add_row(
                card.name,
                skill.id + ("*" if skill.needs_model else ""),
                ", ".join(skill.requires) or "-",
                ", ".join(skill.produces) or "-",
                skill.description,
            )
    return table


def check_command(urls: Sequence[str], *, as_json: bool) -> None:
    """Check the agents that ship and those at the URLs; leave with 1 when something is wrong."""
    report = run_async(_check(urls), as_json=as_json)
    if as_json:
        found = {"sound": report.sound, "agents": report.agents, "findings": report.findings}
        print_json(found)
    else:
        out, err = consoles()
        if report.findings:
            out.print(_findings(report.findings), soft_wrap=False)
        errors = sum(finding.severity == "error" for finding in report.findings)
        parts = (
            counted(len(report.agents), "agent"),
            counted(errors, "error"),
            counted(len(report.findings) - errors, "warning"),
        )
        err.print(", ".join(parts))
    if not report.sound:
        raise SystemExit(FAILED)


async def _check(urls: Sequence[str]) -> RegistryReport:
    registry, models = _registry()
    for url in urls:
        registry.register(url)
    broken: list[RegistryFinding] = []
    rules = _read(RuleBook.load, broken)
    book = _read(lambda: TemplateBook.load(cards=lambda: registry.cards), broken)
    try:
        if rules is None or book is None:
            return RegistryReport(tuple(card.name for card in registry.cards), tuple(broken))
        return await check_agents(registry, rules, book, has_model=models.configured)
    finally:
        await registry.aclose()


def _read(load: Callable[[], T], broken: list[RegistryFinding]) -> T | None:
    """What a configuration file holds; None, and a finding, where something is wrong with it."""
    try:
        return load()
    except ConfigError as error:
        message = f"{error.key}: {error.problem}" if error.key else error.problem
        remedy = "correct it there: nothing else can be checked before"
        broken.append(RegistryFinding("error", "configuration", error.source, message, remedy))
        return None


def _findings(findings: Sequence[RegistryFinding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("state", "about", "subject", "finding", "what to do"):
        table.add_column(column, no_wrap=column in ("state", "about"))
    for one in findings:
        table.add_row(one.severity, one.kind, *map(Text, (one.subject, one.message, one.remedy)))
    return table
