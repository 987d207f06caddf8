"""Agent cards to and from a2a-sdk's protobuf types; an extension says what our skills need."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.structs import from_struct, to_struct
from infrastructure.a2a.types import EXTENSION
from infrastructure.errors import AgentMisbehaved
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.text import one_line

_MAX_SKILLS = 200
_MAX_NAME = 80
_MAX_DESCRIPTION = 1_000


def card_to_wire(
    card: AgentCard, interfaces: Sequence[tuple[str, str]], *, token_needed: bool
) -> pb.AgentCard:
    """A card for others to read.

    Args:
        card: the agent's.
        interfaces: protocol binding and URL of each way to reach it, preferred first.
        token_needed: whether it asks for a bearer token.
    """
    skills: dict[str, JsonValue] = {skill.id: _skill_params(skill) for skill in card.skills}
    params: JsonObject = {"skills": skills, "max_concurrency": card.max_concurrency}
    extension = pb.AgentExtension(
        uri=EXTENSION,
        description="What each skill requires, produces, costs and takes.",
        params=to_struct(params),
    )
    wire = pb.AgentCard(
        name=card.name,
        description=card.description,
        version=card.version,
        supported_interfaces=[
            pb.AgentInterface(url=url, protocol_binding=binding, protocol_version="1.0")
            for binding, url in interfaces
        ],
        capabilities=pb.AgentCapabilities(streaming=True, extensions=[extension]),
        default_input_modes=["text/plain", "application/json", "application/octet-stream"],
        default_output_modes=["text/plain", "application/json", "application/octet-stream"],
        skills=[
            pb.AgentSkill(
                id=skill.id,
                name=skill.id,
                description=skill.description,
                tags=list(skill.task_types) or ["general"],
            )
            for skill in card.skills
        ],
    )
    if token_needed:
        bearer = pb.SecurityScheme(
            http_auth_security_scheme=pb.HTTPAuthSecurityScheme(scheme="bearer")
        )
        wire.security_schemes["bearer"].CopyFrom(bearer)
        wire.security_requirements.append(
            pb.SecurityRequirement(schemes={"bearer": pb.StringList()})
        )
    return wire


def card_from_wire(
    wire: pb.AgentCard, url: str, name: str = "", task_types: Collection[str] = ()
) -> AgentCard:
    """A card that another agent shows; its texts are cut and stripped of control characters.

    Args:
        wire: what it shows.
        url: where it was read.
        name: what to call the agent here; empty takes the card's name.
        task_types: the known task types, which a stranger's tags are understood as.

    Raises:
        AgentMisbehaved: it has no name or no skills.
    """
    params: JsonObject = {}
    for extension in wire.capabilities.extensions:
        if extension.uri == EXTENSION:
            params = from_struct(extension.params)
    described = params.get("skills")
    known: JsonObject = cast("JsonObject", described) if isinstance(described, Mapping) else {}
    called = name or one_line(wire.name, _MAX_NAME)
    skills = tuple(
        _skill(skill, known.get(skill.id), task_types) for skill in wire.skills[:_MAX_SKILLS]
    )
    if not called or not skills:
        raise AgentMisbehaved(f"the agent card of {url} has no name or no skills")
    concurrency = params.get("max_concurrency")
    limit = int(concurrency) if isinstance(concurrency, int | float) and concurrency >= 1 else 4
    return AgentCard(
        called,
        one_line(wire.description, _MAX_DESCRIPTION),
        skills,
        one_line(wire.version, _MAX_NAME),
        url,
        min(limit, 100),
    )


def _skill_params(skill: Skill) -> JsonObject:
    return {
        "task_types": list(skill.task_types),
        "requires": list(skill.requires),
        "produces": list(skill.produces),
        "cost_usd": skill.cost_usd,
        "seconds": skill.seconds,
        "needs_model": skill.needs_model,
    }


def _skill(wire: pb.AgentSkill, params: JsonValue, task_types: Collection[str]) -> Skill:
    said = cast("JsonObject", params) if isinstance(params, Mapping) else None
    skill_id = one_line(wire.id, _MAX_NAME)
    description = one_line(wire.description or wire.name, _MAX_DESCRIPTION)
    if said is None:
        return Skill(skill_id, description, _types_of_tags(wire.tags, task_types))
    return Skill(
        skill_id,
        description,
        _names(said.get("task_types")),
        _names(said.get("requires")),
        _names(said.get("produces")),
        _number(said.get("cost_usd"), 0.0),
        _number(said.get("seconds"), 1.0) or 1.0,
        said.get("needs_model") is True,
    )


def _types_of_tags(tags: Iterable[str], task_types: Collection[str]) -> tuple[str, ...]:
    """Tags as task types: "Data Analysis" is "data_analysis" where that is one.

    Tags that mean no known type are types of the stranger's own; who has only such serves what is
    of no particular type too.
    """
    named = [one_line(tag, _MAX_NAME) for tag in tags]
    spelt = [tag.lower().replace("-", "_").replace(" ", "_") for tag in named]
    types = [s if s in task_types else tag for tag, s in zip(named, spelt, strict=True) if tag]
    if types and task_types and not set(types) & set(task_types):
        types.append("general")
    return tuple(dict.fromkeys(types))


def _names(value: JsonValue) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return tuple(one_line(name, _MAX_NAME) for name in value if isinstance(name, str))


def _number(value: JsonValue, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return float(value) if math.isfinite(value) and value >= 0 else default
