"""A real server on loopback over a real orchestrator, with tokens of two tenants."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from openapi_schema_validator import OAS31Validator

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.server.app import Beside, Parts, Served, build_app
from genesis.server.auth import Callers
from genesis.server.beside import BesideOptions, Places, everything_beside
from genesis.server.hub import Hub
from genesis.server.limits import Limits
from genesis.server.process import Server
from genesis.server.tokens import make_token
from infrastructure.clock import SystemClock
from infrastructure.config import load_flags, load_settings

SKILL = Skill("tell", "Tells something.", ("general",), produces=("answer",), seconds=0.1)
NICE = "Tell me something nice"
PATIENCE_S = 20.0


@dataclass
class Teller:
    """An agent whose request says what becomes of it: `slowly NAME` waits until `go[NAME]`."""

    go: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    began: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    asked: list[Assignment] = field(default_factory=list[Assignment])

    async def tell(self, assignment: Assignment) -> dict[str, str] | TaskOutput:
        self.asked.append(assignment)
        words = assignment.request.split()
        if "slowly" in words:
            name = words[words.index("slowly") + 1]
            self.began[name].set()
            await self.go[name].wait()
        if "written" in words:
            page = assignment.artifacts_dir / "page.html"
            page.write_text("<script>alert(1)</script>")
            return TaskOutput("see page.html", {"answer": "page.html"}, artifacts=(str(page),))
        if "badly" in words:
            raise ValueError("badly it went")
        return {"answer": "nothing but \ud800" if "oddly" in words else "a nice day"}


@dataclass
class World:
    """A served orchestrator.

    Attributes:
        ann, bob: clients of the tenants "team-a" and "team-b".
        operator: one whose token may read the metrics of the process, of "team-a".
        anyone: a client without a token.
    """

    url: str
    served: Served
    orchestrator: GenesisOrchestrator
    teller: Teller
    ann: httpx.AsyncClient
    bob: httpx.AsyncClient
    operator: httpx.AsyncClient
    anyone: httpx.AsyncClient

    async def ask(self, text: str = NICE, wait_s: float = 20, **body: Any) -> dict[str, Any]:
        """Have a run done as ann."""
        headers = {"prefer": f"wait={wait_s:g}"} if wait_s else {}
        answer = await self.ann.post("/v1/runs", json={"request": text, **body}, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()


@asynccontextmanager
async def world(
    folder: Path,
    limits: Limits | None = None,
    options: BesideOptions | None = None,
    **settings: Any,
) -> AsyncGenerator[World]:
    """Serve while the context lasts.

    Args:
        folder: takes everything.
        limits: of one caller.
        options: what is served beside the REST API; None for nothing.
        settings: of the orchestrator.
    """
    workspace = folder / "workspace"
    workspace.mkdir(parents=True)
    chosen = load_settings(
        {},
        workspace=workspace,
        data_dir=folder / "data",
        db_path=str(folder / "memory.db"),
        **settings,
    )
    tokens = folder / "tokens.yaml"
    ann, bob = (make_token(tokens, n, t).token for n, t in (("ann", "team-a"), ("bob", "team-b")))
    operator = make_token(tokens, "operator", "team-a", operator=True).token
    teller = Teller()
    async with GenesisOrchestrator(
        settings=chosen, flags=load_flags({}), agents=[]
    ) as orchestrator:
        orchestrator.register_agent(teller.tell, name="teller", skills=[SKILL])
        memori = await orchestrator.services.memory.ready()
        bound = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"

        def beside(hub: Hub) -> Sequence[Beside]:
            places = Places(url, "127.0.0.1", chosen.data_dir)
            return everything_beside(hub, memori, places, options) if options else ()

        callers = Callers(SystemClock(), tokens)
        served = build_app(Parts(orchestrator, callers, memori, limits or Limits(), beside))
        documented = Documented(served.app.openapi())
        async with (
            listening(served, bound),
            clients(url, documented, ann, bob, operator, "") as made,
        ):
            yield World(url, served, orchestrator, teller, *made)


@asynccontextmanager
async def listening(served: Served, bound: socket.socket) -> AsyncGenerator[None]:
    """Serve an app."""
    config = uvicorn.Config(
        served.app, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws="none"
    )
    is_up = asyncio.Event()
    server = Server(config, is_up.set)
    serving = asyncio.create_task(server.serve([bound]))
    await is_up.wait()
    try:
        yield
    finally:
        await served.hub.drain(0)
        server.should_exit = True
        await serving


@asynccontextmanager
async def clients(
    url: str, documented: Documented, *tokens: str
) -> AsyncGenerator[tuple[httpx.AsyncClient, ...]]:
    """A client for each token, empty for none; whatever they are answered must be documented."""
    made = tuple(
        httpx.AsyncClient(
            base_url=url,
            timeout=PATIENCE_S,
            headers={"authorization": f"Bearer {token}"} if token else {},
            event_hooks={"response": [documented.check]},
        )
        for token in tokens
    )
    try:
        yield made
    finally:
        for client in made:
            await client.aclose()


class Documented:
    """Holds every answer against the OpenAPI document.

    Args:
        document: the document.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._paths: dict[re.Pattern[str], dict[str, Any]] = {
            re.compile(re.sub(r"{\w+}", "[^/]+", path) + "$"): item
            for path, item in document["paths"].items()
        }

    async def check(self, response: httpx.Response) -> None:
        """Fail where the status, the content type or the body is not documented."""
        path, method = response.request.url.path, response.request.method.lower()
        items = (item for pattern, item in self._paths.items() if pattern.match(path))
        item = next(items, None)
        if item is None or method not in item:
            return
        said: dict[str, Any] | None = item[method]["responses"].get(str(response.status_code))
        assert said, f"{method} {path} answers {response.status_code}, which is not documented"
        kind = response.headers.get("content-type", "").partition(";")[0]
        kinds: dict[str, Any] = said.get("content", {})
        assert (kind in kinds) or not (kind or kinds), f"{method} {path} is {kind}, not {kinds}"
        if kind.endswith("json"):
            await response.aread()
            schema: dict[str, Any] = {
                **kinds[kind].get("schema", {}),
                "components": self._document["components"],
            }
            OAS31Validator(schema).validate(response.json())


@dataclass
class Event:
    """One server-sent event; a comment has the name "comment"."""

    name: str
    data: dict[str, Any]
    number: int | None


async def read_events(response: httpx.Response) -> AsyncGenerator[Event]:
    """The events of a stream, comments included."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield Event("comment", {}, None)
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            number = fields.get("id")
            yield Event(
                fields["event"], json.loads(fields["data"]), int(number) if number else None
            )
            fields = {}


async def all_events(client: httpx.AsyncClient, path: str, **given: Any) -> list[Event]:
    """Every event of a stream until it ends."""
    async with client.stream("GET", path, **given) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event async for event in read_events(response)]
