"""Budgets as the command line gives and reports them."""

from __future__ import annotations

from pathlib import Path

from cli_process import Cli
from openai_server import ChatRequest, OpenAIServer, Reply

REQUEST = "Write a short poem about autumn leaves"


def reply(request: ChatRequest) -> Reply:
    return Reply("no plan" if request.schema else "Red leaves fall.", 1_000, 1_000)


def test_a_plan_that_is_too_dear_ends_with_3_and_is_not_begun(tmp_path: Path) -> None:
    with OpenAIServer(reply) as server:
        cli = Cli(
            tmp_path,
            tmp_path / "data",
            GENESIS_MODEL="openai:gpt-4.1-mini",
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="sk-secret",
        )
        paid = cli.json("run", REQUEST)
        assert paid["cost_usd"] > 0
        asked = len(server.requests)
        poor = cli.json("run", REQUEST, "--budget", "0.000001", code=3)
        assert len(server.requests) == asked
    assert "budget" in " ".join(poor["errors"])
    assert poor["cost_usd"] == 0
