"""What calls of chat models consume: tokens and money."""

from __future__ import annotations

from dataclasses import dataclass

_CHARS_PER_TOKEN = 4
MAX_TOKENS = 100_000_000  # of one call: no model reads or writes as many


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one or several calls consumed; sums with `+`.

    Attributes:
        input_tokens: tokens read.
        output_tokens: tokens written, those of hidden reasoning included.
        cost_usd: US dollars.
        estimated: whether tokens were guessed from the text's length because the provider
            reported none or what cannot be, or dollars because the model has no price of its own.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False

    def __add__(self, other: ModelUsage) -> ModelUsage:
        return ModelUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            self.estimated or other.estimated,
        )


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: one per four characters, rounded up."""
    return -(-len(text) // _CHARS_PER_TOKEN)
