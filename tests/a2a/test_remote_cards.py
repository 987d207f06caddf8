"""Cards of agents elsewhere: pinned, signed where a key is given, and their changes noticed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import jwt
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.json_format import MessageToDict, ParseDict
from jwt.algorithms import ECAlgorithm
from remote_peers import CARD_PATH, Call, Peer, StartPeer, ask, status, task
from sdk_agent import SdkExecutor, sdk_app, sdk_card

from genesis.agents.registry import AgentRegistry
from genesis.agents.remote_urls import RemoteUrls
from genesis.testing import FakeAgent
from infrastructure.a2a.agent import Agent
from infrastructure.a2a.remote import RemoteAgent
from infrastructure.errors import AgentMisbehaved, InputError

Serve: TypeAlias = Callable[..., Awaitable[Any]]


async def _done(call: Call) -> None:
    await call.events({"task": task("WORKING")}, status("COMPLETED"))


def _keys(kid: str) -> tuple[ec.EllipticCurvePrivateKey, str, dict[str, Any]]:
    """A private key, its public half as PEM, and as a JWK."""
    private = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    jwk = _jwk_of(private.public_key())
    return private, pem, {**jwk, "kid": kid, "alg": "ES256"}


def _jwk_of(public: Any) -> dict[str, Any]:
    algorithm: Any = ECAlgorithm
    return json.loads(algorithm.to_jwk(public))


def _sign(peer: Peer, private: ec.EllipticCurvePrivateKey, kid: str, alg: str = "ES256") -> None:
    header: Any = {"alg": alg, "kid": kid, "typ": "JOSE", "jku": "https://evil.example/keys"}
    wire = ParseDict({k: v for k, v in peer.card.items() if k != "signatures"}, pb.AgentCard())
    signed = create_agent_card_signer(private, header)(wire)  # pyright: ignore[reportArgumentType] - takes keys
    peer.card = MessageToDict(signed)


async def test_a_signed_card_is_checked(peer: StartPeer) -> None:
    private, pem, jwk = _keys("k1")
    one = await peer(_done)
    _sign(one, private, "k1")
    for key in (pem, jwk, json.dumps(jwk), {"keys": [_keys("k2")[2], jwk]}):
        agent = await RemoteAgent.connect(one.url, card_key=key)
        await ask(agent)
        await agent.aclose()


@pytest.mark.parametrize("what", ["unsigned", "another key", "altered", "added skill", "hmac"])
async def test_a_card_that_is_not_the_signers_is_refused(peer: StartPeer, what: str) -> None:
    private, pem, _ = _keys("k1")
    one = await peer(_done)
    if what == "another key":
        _sign(one, _keys("k1")[0], "k1")
    elif what == "hmac":  # signed with the public key as a shared secret
        header = {"alg": "HS256", "kid": "k1", "typ": "JOSE"}
        token = jwt.api_jws.PyJWS().encode(
            json.dumps(one.card).encode(), b"x" * 32, "HS256", header
        )
        protected, _, signature = token.split(".")
        one.card["signatures"] = [{"protected": protected, "signature": signature}]
    elif what != "unsigned":
        _sign(one, private, "k1")
    if what == "altered":
        one.card["name"] = "somebody else"
    if what == "added skill":
        one.card["skills"].append({**one.card["skills"][0], "id": "more"})
    with pytest.raises(AgentMisbehaved, match="not signed by the key"):
        await RemoteAgent.connect(one.url, card_key=pem)
    assert one.calls[0].path == CARD_PATH
    assert len(one.calls) == 1


@pytest.mark.parametrize(
    "key", ["", "secret", "{}", '{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}', {"keys": []}]
)
async def test_what_is_no_public_key_is_refused(key: Any) -> None:
    with pytest.raises(InputError, match="card_key="):
        await RemoteAgent.connect("http://127.0.0.1:1", card_key=key)


async def test_a_card_is_read_again_by_its_tag(peer: StartPeer) -> None:
    asked: list[str] = []

    async def show(call: Call) -> None:
        asked.append(call.headers.get("if-none-match", ""))
        if asked[-1] == '"v1"':
            await call.respond(b"", code=304)
        else:
            await call.respond(json.dumps(one.card).encode(), "application/json", 'etag: "v1"')

    one = await peer(_done, show)
    agent = await RemoteAgent.connect(one.url, card_max_age_s=0)
    await ask(agent)
    await ask(agent)
    assert asked == ["", '"v1"', '"v1"']
    young = await RemoteAgent.connect(one.url)
    await ask(young)
    assert len(asked) == 4
    await agent.aclose()
    await young.aclose()


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"name": "somebody else"}, "it was 'stranger' and is now 'somebody else'"),
    ({"skills": [{"id": "t", "name": "t", "description": "d"}]}, "no longer offers 's'"),
    (
        {"skills": [{"id": "s", "name": "s", "description": "d", "tags": ["deployment"]}]},
        "changed what it says of 's'",
    ),
    (
        {"supportedInterfaces": [{"url": "https://x.example", "protocolBinding": "JSONRPC"}]},
        "no longer at 'JSONRPC http://127",
    ),
    ({"securityRequirements": [{"schemes": {"oauth": {"list": []}}}]}, "other credentials"),
]


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
async def test_a_card_that_changed_is_not_silently_taken(
    peer: StartPeer, changes: dict[str, Any], reason: str
) -> None:
    one = await peer(_done)
    agent = await RemoteAgent.connect(one.url, card_max_age_s=0)
    await ask(agent)
    one.card |= changes
    for _ in range(2):
        with pytest.raises(AgentMisbehaved, match=reason):
            await ask(agent)
    assert one.methods == ["SendStreamingMessage"]
    # It was noted: the card's return to what it was needs a person, too.
    assert reason.split("'")[0] in agent.changed
    await agent.aclose()


async def test_a_card_whose_signature_is_gone_is_refused(peer: StartPeer) -> None:
    private, pem, _ = _keys("k1")
    one = await peer(_done)
    _sign(one, private, "k1")
    agent = await RemoteAgent.connect(one.url, card_key=pem, card_max_age_s=0)
    del one.card["signatures"]
    with pytest.raises(AgentMisbehaved, match="not signed by the key"):
        await ask(agent)
    await agent.aclose()


async def test_what_does_not_matter_may_change(
    peer: StartPeer, caplog: pytest.LogCaptureFixture
) -> None:
    one = await peer(_done)
    agent = await RemoteAgent.connect(one.url, card_max_age_s=0)
    one.card |= {"version": "2", "description": "Better."}
    one.card["skills"] = [*one.card["skills"], {"id": "more", "name": "m", "description": "d"}]
    await ask(agent)
    assert [skill.id for skill in agent.card.skills] == ["s"]
    assert "now also offers 'more': not used until it is registered again" in caplog.text
    await agent.aclose()


async def test_an_agent_whose_card_cannot_be_read_again_is_still_asked(peer: StartPeer) -> None:
    async def once(call: Call) -> None:
        if len(one.calls) > 1:
            await call.respond(b"", code=503)
        else:
            await call.respond(json.dumps(one.card).encode())

    one = await peer(_done, once)
    agent = await RemoteAgent.connect(one.url, card_max_age_s=0)
    assert await ask(agent)
    await agent.aclose()
    read = [call for call in one.calls if not call.body]
    assert len(read) > 1, "the card was not read again, so nothing was tried"


async def test_a_changed_agent_is_unhealthy_until_it_is_registered_again(peer: StartPeer) -> None:
    one = await peer(_done)
    registry = AgentRegistry()
    registry.register(one.url)
    registry.register(FakeAgent("other"))
    assert await registry.connect() == {}
    agent = registry.get("stranger")
    assert isinstance(agent, RemoteAgent)
    one.card["skills"][0]["tags"] = ["deployment"]
    with pytest.raises(AgentMisbehaved):
        await agent.check_card(now=True)
    health = registry.health("stranger")
    assert not health.available
    assert "changed what it says of 's'" in health.reason
    registry.register(one.url)
    assert await registry.connect() == {}
    assert registry.health("stranger").available
    assert registry.get("stranger").card.skills[0].task_types == ("deployment",)
    await registry.aclose()


@pytest.mark.parametrize(
    ("tags", "task_types"),
    [
        (["Data Analysis", "charts"], ("data_analysis", "charts")),
        (["code-generation"], ("code_generation",)),
        (["translation"], ("translation", "general")),
        ([], ()),
    ],
)
async def test_tags_mean_task_types_where_they_match(
    peer: StartPeer, tags: list[str], task_types: tuple[str, ...]
) -> None:
    one = await peer(_done)
    one.card["skills"][0]["tags"] = tags
    registry = AgentRegistry()
    registry.register(one.url)
    assert await registry.connect() == {}
    assert registry.cards[0].skills[0].task_types == task_types
    await registry.aclose()


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_who_is_known_sees_the_extended_card(serve: Serve, binding: str) -> None:
    def app(url: str) -> Any:
        card = sdk_card(url, (binding,), capabilities={"extended_agent_card": True})
        extended = pb.AgentCard()
        extended.CopyFrom(card)
        extended.skills.append(pb.AgentSkill(id="more", name="m", description="d", tags=["x"]))
        return sdk_app(SdkExecutor(), card, extended_agent_card=extended)

    served = await serve(app)
    stranger = await RemoteAgent.connect(served.url)
    known = await RemoteAgent.connect(served.url, token="s3cret")
    assert [skill.id for skill in stranger.card.skills] == ["do"]
    assert [skill.id for skill in known.card.skills] == ["do", "more"]
    await ask(known)
    await stranger.aclose()
    await known.aclose()


async def test_an_extended_card_cannot_lead_elsewhere(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        if call.method == "GetExtendedAgentCard":
            await call.result({**one.card, "supportedInterfaces": [
                {"url": "https://x.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            ]})  # fmt: skip
        else:
            await _done(call)

    one = await peer(answer)
    one.card["capabilities"] = {"streaming": True, "extendedAgentCard": True}
    agent = await RemoteAgent.connect(one.url, token="s3cret")
    await ask(agent)
    await agent.aclose()


async def test_a_card_that_is_slow_to_fail_does_not_hold_up_every_request(
    peer: StartPeer,
) -> None:
    now = [0.0]

    async def show(call: Call) -> None:
        now[0] += 12.0  # it took so long
        await call.respond(b"", code=503)

    one = await peer(_done, show)
    urls = RemoteUrls(lambda: now[0])
    urls.add(one.url, "", {})

    async def accept(agent: Agent) -> None:
        raise AssertionError("there was no card")

    first = await urls.connect(accept)
    assert "HTTP 503" in first[one.url]
    now[0] += 119.0
    assert await urls.connect(accept) == first
    assert len(one.calls) == 1
    now[0] += 2.0
    await urls.connect(accept)
    assert len(one.calls) == 2
