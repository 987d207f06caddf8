"""`genesis agents list`."""

from __future__ import annotations

from rich.table import Table

from genesis.agents.builtin import register_builtin
from genesis.agents.registry import AgentRegistry
from genesis.cli.common import cli_settings, print_json, run_async
from genesis.cli.render import consoles
from infrastructure.a2a.agent import AgentCard
from infrastructure.models.chat import ChatModels


def list_command(*, as_json: bool) -> None:
    """Print every agent that ships, with its operations."""
    run_async(_list(as_json=as_json), as_json=as_json)


async def _list(*, as_json: bool) -> None:
    models = ChatModels(cli_settings().models)
    registry = AgentRegistry()
    register_builtin(registry, models)
    cards = list(registry.cards)
    if as_json:
        print_json({"agents": cards, "model_configured": models.configured})
        return
    out, err = consoles()
    out.print(_table(cards), soft_wrap=False)
    if not models.configured:
        err.print("agents marked * need a chat model: set GENESIS_MODEL=provider:name")


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
