"""gRPC to agents elsewhere: pinned to a checked address, in TLS, within bounds."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from remote_peers import Call, Peer, ServeGrpc, StartPeer, ask, ask_once

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.remote_grpc import GrpcPlace
from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable, InputError
from infrastructure.resilience.retry import is_retryable

ROOT = Path(__file__).parents[2]
WORKING = pb.StreamResponse(
    task=pb.Task(id="t1", context_id="c", status=pb.TaskStatus(state=pb.TASK_STATE_WORKING))
)
DONE = pb.StreamResponse(
    task=pb.Task(id="t1", context_id="c", status=pb.TaskStatus(state=pb.TASK_STATE_COMPLETED))
)


class Servicer(a2a_pb2_grpc.A2AServiceServicer):
    """Answers a message with what it is given: responses, or a status code to end with."""

    def __init__(self, *items: Any, endless: bool = False) -> None:
        self.items = items
        self.endless = endless
        self.peers: list[str] = []
        self.canceled: list[str] = []

    async def SendStreamingMessage(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        self.peers.append(context.peer())
        while True:
            for item in self.items:
                if isinstance(item, grpc.StatusCode):
                    await context.abort(item, "because")
                yield item
            if not self.endless:
                return

    async def CancelTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.canceled.append(request.id)
        return DONE.task


async def _peer(peer: StartPeer, at: str) -> Peer:
    async def no_http(call: Call) -> None:
        raise AssertionError("no HTTP was to be spoken")

    one = await peer(no_http)
    one.card["supportedInterfaces"] = [
        {"url": at, "protocolBinding": "GRPC", "protocolVersion": "1.0"}
    ]
    return one


def _chunk(text: str) -> pb.StreamResponse:
    artifact = pb.Artifact(artifact_id="a", parts=[pb.Part(text=text)])
    update = pb.TaskArtifactUpdateEvent(task_id="t1", artifact=artifact, append=True)
    return pb.StreamResponse(artifact_update=update)


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        (grpc.StatusCode.UNAVAILABLE, AgentUnavailable, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, AgentUnavailable, True),
        (grpc.StatusCode.UNAUTHENTICATED, AgentError, False),
        (grpc.StatusCode.INTERNAL, AgentMisbehaved, False),
        (grpc.StatusCode.UNIMPLEMENTED, AgentError, False),
    ],
)
async def test_a_status_says_whether_to_try_again(
    peer: StartPeer, serve_grpc: ServeGrpc, code: Any, kind: type[AgentError], again: bool
) -> None:
    at, _ = await serve_grpc(Servicer(code))
    one = await _peer(peer, at)
    with pytest.raises(AgentError) as caught:
        await ask_once(one.url)
    assert type(caught.value) is kind
    assert is_retryable(caught.value) is again


async def test_one_huge_message_is_not_read(peer: StartPeer, serve_grpc: ServeGrpc) -> None:
    at, _ = await serve_grpc(Servicer(WORKING, _chunk("x" * 2_000_000), DONE))
    one = await _peer(peer, at)
    with pytest.raises(AgentMisbehaved, match="larger than max"):
        await ask_once(one.url, max_response_bytes=1_000_000)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"max_response_bytes": 300_000}, "300000 bytes"), ({"max_events": 50}, "50 events")],
)
async def test_an_endless_stream_is_cut_off_and_cancelled(
    peer: StartPeer, serve_grpc: ServeGrpc, limits: dict[str, Any], reason: str
) -> None:
    servicer = Servicer(WORKING, _chunk("x" * 5_000), endless=True)
    at, _ = await serve_grpc(servicer)
    one = await _peer(peer, at)
    with pytest.raises(AgentMisbehaved, match=reason):
        await ask_once(one.url, **limits)
    assert servicer.canceled == ["t1"]


async def test_a_compressed_message_is_refused(peer: StartPeer, serve_grpc: ServeGrpc) -> None:
    """Five megabytes of zeros take a few kilobytes on the wire."""
    servicer = Servicer(WORKING, _chunk("0" * 5_000_000), DONE)
    at, _ = await serve_grpc(servicer, compression=grpc.Compression.Gzip)
    one = await _peer(peer, at)
    with pytest.raises(AgentMisbehaved, match="'gzip' is disabled"):
        await ask_once(one.url)


async def test_a_server_that_dies_is_unavailable_and_found_again(
    peer: StartPeer, serve_grpc: ServeGrpc
) -> None:
    at, server = await serve_grpc(Servicer(DONE))
    one = await _peer(peer, at)
    agent = await RemoteAgent.connect(one.url)
    await ask(agent)
    await server.stop(0)
    with pytest.raises(AgentUnavailable, match="cannot be reached"):
        await ask(agent)
    again = grpc.aio.server()
    servicer = Servicer(DONE)
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(servicer, again)  # pyright: ignore[reportUnknownMemberType]
    again.add_insecure_port(at)
    await again.start()
    async with asyncio.timeout(10):
        while not servicer.peers:
            try:
                await ask(agent)
            except AgentUnavailable:
                await asyncio.sleep(0.05)
    await agent.aclose()
    await again.stop(0)


async def test_a_server_that_is_no_grpc_server_is_contained(peer: StartPeer) -> None:
    async def http(call: Call) -> None:
        await call.respond(b"hello")

    plain = await peer(http)
    one = await _peer(peer, plain.url)
    with pytest.raises(AgentUnavailable):
        await ask_once(one.url)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("agents.example:50051", True),
        ("agents.example", True),
        ("grpcs://agents.example:50051", True),
        ("https://agents.example", True),
        ("127.0.0.1:50051", False),
        ("localhost:50051", False),
        ("http://[::1]:50051", False),
        ("grpcs://localhost:50051", True),
    ],
)
def test_tls_is_used_unless_it_is_this_machine(url: str, secure: bool) -> None:
    assert GrpcPlace.parse(url).secure is secure


@pytest.mark.parametrize(
    "url",
    ["http://agents.example:80", "grpc://10.0.0.1:50051", "ftp://a:1", "user:pw@a:1", "", "a:b:c"],
)
def test_plain_text_to_elsewhere_and_what_is_no_address_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        GrpcPlace.parse(url)


async def test_no_name_is_left_for_grpc_to_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["10.0.0.7"], ["8.8.8.8", "2606:4700::1111", "8.8.4.4"], ["8.8.4.4"], ["1.1.1.1"]]

    async def look_up(host: str, port: int, **kind: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises(AgentError, match=r"leads to 10\.0\.0\.7"):
        await GrpcPlace.find("agents.example:443", allow_private=False)
    place = await GrpcPlace.find("agents.example:443", allow_private=False)
    assert place.target == "ipv4:8.8.8.8:443,8.8.4.4:443"
    assert not await place.has_moved()
    assert await place.has_moved()


def _certificate(folder: Path, host: str) -> tuple[bytes, bytes, Path]:
    """A key, and a certificate for a host signed by itself; the latter as a file too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{host}.pem"
    path.write_bytes(pem)
    kind = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return secret, pem, path


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
async def test_the_certificate_must_be_the_hosts(
    peer: StartPeer, tmp_path: Path, host: str
) -> None:
    """The connection goes to an address; the certificate is checked for the name all the same."""
    key, certificate, roots = _certificate(tmp_path, host)
    servicer = Servicer(DONE)
    server = grpc.aio.server()
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(servicer, server)  # pyright: ignore[reportUnknownMemberType]
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    one = await _peer(peer, f"grpcs://localhost:{port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("grpc_tls_client.py")),
        one.url.replace("127.0.0.1", "localhost"),
        env={**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots), "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told = (await process.communicate())[0].decode().split()
    await server.stop(0)
    assert told == (["StatusUpdate"] if host == "localhost" else ["AgentUnavailable"])
    assert len(servicer.peers) == (host == "localhost")
