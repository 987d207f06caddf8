"""Milliseconds a task over loopback, by binding: our client beside the SDK's bare one.

The server is the same for both, the SDK's own, in a process of its own; a task is one message in,
one artifact out, streamed. Rounds of both take turns, so that what else the machine does meets
both alike.

    python benchmarks/a2a_client.py --tasks 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx

ROUND = 20


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def _serve(port: int, grpc_port: int) -> None:
    """The server's process."""
    import grpc
    import uvicorn
    from a2a.helpers import new_task_from_user_message
    from a2a.server.agent_execution import AgentExecutor, RequestContext
    from a2a.server.events import EventQueue
    from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
    from a2a.server.routes import (
        create_agent_card_routes,
        create_jsonrpc_routes,
        create_rest_routes,
    )
    from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
    from a2a.types import a2a_pb2 as pb
    from a2a.types import a2a_pb2_grpc
    from starlette.applications import Starlette

    class Echo(AgentExecutor):
        async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
            assert context.message is not None
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
            task_id, context_id = context.task_id or "", context.context_id or ""
            updater = TaskUpdater(event_queue, task_id, context_id)
            await updater.start_work()
            await updater.add_artifact([pb.Part(text="you said hello")])
            await updater.complete()

        async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
            raise NotImplementedError

    url, at = f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}"
    where = {"JSONRPC": f"{url}/rpc", "HTTP+JSON": f"{url}/rest", "GRPC": at}
    card = pb.AgentCard(
        name="echo",
        description="Echoes.",
        version="1",
        supported_interfaces=[
            pb.AgentInterface(url=place, protocol_binding=name, protocol_version="1.0")
            for name, place in where.items()
        ],
        capabilities=pb.AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[pb.AgentSkill(id="echo", name="echo", description="Echoes.", tags=["general"])],
    )
    handler = DefaultRequestHandler(Echo(), InMemoryTaskStore(), card)
    server = grpc.aio.server()
    register: Any = a2a_pb2_grpc
    register.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    server.add_insecure_port(at)
    await server.start()
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/rpc"),
        *create_rest_routes(handler, path_prefix="/rest"),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=port, log_level="error")
    await uvicorn.Server(config).serve()


@contextmanager
def _server() -> Generator[str]:
    """The server, up; its URL."""
    port, grpc_port = _free_port(), _free_port()
    command = [sys.executable, __file__, "--serve", str(port), str(grpc_port)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/.well-known/agent-card.json")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


async def _ours(url: str, binding: str) -> tuple[Callable[[int], Awaitable[None]], Any]:
    from infrastructure.a2a.remote import RemoteAgent
    from infrastructure.a2a.types import Message, Part

    agent = await RemoteAgent.connect(url, bindings=(binding,))

    async def ask(number: int) -> None:
        message = Message(f"ours-{binding}-{number}", "user", (Part(text="hello"),))
        async for _ in agent.send(message):
            pass

    return ask, agent.aclose


async def _bare(url: str, binding: str) -> tuple[Callable[[int], Awaitable[None]], Any]:
    import grpc
    from a2a.client import ClientConfig, ClientFactory
    from a2a.types import a2a_pb2 as pb

    http = httpx.AsyncClient(timeout=30)
    config = ClientConfig(
        httpx_client=http,
        grpc_channel_factory=grpc.aio.insecure_channel,
        supported_protocol_bindings=[binding],
    )
    client = await ClientFactory(config).create_from_url(url)

    async def ask(number: int) -> None:
        message = pb.Message(
            message_id=f"bare-{binding}-{number}",
            role=pb.ROLE_USER,
            parts=[pb.Part(text="hello")],
        )
        async for _ in client.send_message(pb.SendMessageRequest(message=message)):
            pass

    async def close() -> None:
        await client.close()
        await http.aclose()

    return ask, close


async def _measure(tasks: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with _server() as url:
        for binding in ("JSONRPC", "HTTP+JSON", "GRPC"):
            clients = {"ours": await _ours(url, binding), "sdk": await _bare(url, binding)}
            wall: dict[str, list[float]] = {name: [] for name in clients}
            cpu: dict[str, float] = dict.fromkeys(clients, 0.0)
            for ask, _ in clients.values():
                await ask(-1)
            for start in range(0, tasks, ROUND):
                for name, (ask, _) in clients.items():
                    before = time.process_time()
                    for number in range(start, start + ROUND):
                        begun = time.perf_counter()
                        await ask(number)
                        wall[name].append(1000 * (time.perf_counter() - begun))
                    cpu[name] += 1000 * (time.process_time() - before)
            for _, close in clients.values():
                await close()
            rows.append(
                {
                    "binding": binding,
                    **{f"{n}_p50_ms": round(statistics.median(t), 2) for n, t in wall.items()},
                    **{f"{n}_cpu_ms": round(cpu[n] / len(t), 2) for n, t in wall.items()},
                }
            )
    return rows


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200, help="tasks by each client and binding")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve(*given.serve))
        return
    rows = asyncio.run(_measure(given.tasks))
    if given.json:
        print(json.dumps({"tasks": given.tasks, "rows": rows}))
        return
    print(f"{'binding':<10} {'ours':>8} {'sdk':>8} {'ours CPU':>9} {'sdk CPU':>8}   ms a task")
    for row in rows:
        print(
            f"{row['binding']:<10} {row['ours_p50_ms']:>8} {row['sdk_p50_ms']:>8} "
            f"{row['ours_cpu_ms']:>9} {row['sdk_cpu_ms']:>8}"
        )


if __name__ == "__main__":
    main()
