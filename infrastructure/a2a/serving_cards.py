"""The cards of a server: one for everybody, one for callers with a token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.cards import card_to_wire
from infrastructure.a2a.structs import to_struct
from infrastructure.jsonvalue import JsonObject

LIMITS_EXTENSION: Final = "urn:genesis:a2a:limits:1"


class ServedCards:
    """What a server shows of itself.

    Args:
        card: the agent's.
        interfaces: protocol binding and URL of each way to reach it, preferred first.
        token_needed: whether it asks for a bearer token; only then is there an extended card.
        input_modes: media types that messages may carry; empty leaves those of any agent.
        limits: shown to callers with a token.
        sign: adds a signature to a complete card, in place.
    """

    def __init__(
        self,
        card: AgentCard,
        interfaces: Sequence[tuple[str, str]],
        *,
        token_needed: bool,
        input_modes: Sequence[str],
        limits: JsonObject,
        sign: Callable[[pb.AgentCard], None],
    ) -> None:
        public = card_to_wire(card, interfaces, token_needed=token_needed)
        public.capabilities.push_notifications = True
        public.capabilities.extended_agent_card = token_needed
        if input_modes:
            del public.default_input_modes[:]
            public.default_input_modes.extend(input_modes)
        self.extended = _extended(public, limits) if token_needed else None
        self.public = public
        sign(self.public)
        if self.extended is not None:
            sign(self.extended)


def _extended(public: pb.AgentCard, limits: JsonObject) -> pb.AgentCard:
    card = pb.AgentCard()
    card.CopyFrom(public)
    extension = pb.AgentExtension(
        uri=LIMITS_EXTENSION, description="What a caller may ask.", params=to_struct(limits)
    )
    card.capabilities.extensions.append(extension)
    return card
