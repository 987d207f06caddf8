"""Prices of chat models, read from `config/prices.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from infrastructure.config import ConfigFile, config_error, read_config
from infrastructure.errors import ConfigError

PRICES_FILE = "prices.yaml"
_TOKENS = 1_000_000
_MAX_PRICE = 1_000_000.0
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Price(BaseModel):
    """US dollars per million tokens read (`input`) and written (`output`)."""

    model_config = _STRICT

    input: float = Field(ge=0, le=_MAX_PRICE)
    output: float = Field(ge=0, le=_MAX_PRICE)

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars of a call."""
        return (input_tokens * self.input + output_tokens * self.output) / _TOKENS


class _PricesFile(BaseModel):
    model_config = _STRICT

    default: Price
    models: dict[Annotated[str, StringConstraints(pattern="^[^:]+:.+$")], Price] = {}


class Prices:
    """What a call of a model costs.

    Args:
        default: the price taken for a model that has none of its own.
        models: prices by "provider:name"; "provider:*" prices all other models of a provider.
    """

    def __init__(self, default: Price, models: Mapping[str, Price]) -> None:
        self.default = default
        self._models = dict(models)

    @classmethod
    def read(cls) -> Prices:
        """The prices of the configuration.

        Raises:
            ConfigError: the file has an unknown key, or a price is no number from 0 to a million.
        """
        return cls.from_config(read_config(PRICES_FILE))

    @classmethod
    def from_config(cls, file: ConfigFile) -> Prices:
        """Prices from a configuration file that was read; raises ConfigError as `read` does."""
        if not isinstance(file.data, Mapping):
            raise ConfigError(file.source, "", "must be a mapping with the keys default, models")
        try:
            read = _PricesFile.model_validate(file.data)
        except ValidationError as error:
            nested = len(error.errors()[0]["loc"]) > 1
            allowed = Price.model_fields if nested else _PricesFile.model_fields
            raise config_error(error, file.source, tuple(allowed)) from error
        return cls(read.default, read.models)

    def price(self, model: str) -> Price:
        """The price of a model "provider:name", or the default one."""
        return self._find(model) or self.default

    def knows(self, model: str) -> bool:
        """Whether the model has a price of its own; without one its cost is an estimate."""
        return self._find(model) is not None

    def estimate(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """US dollars of a call with these token counts."""
        return self.price(model).cost(input_tokens, output_tokens)

    def _find(self, model: str) -> Price | None:
        undated = _DATED.sub("", model)
        provider = model.partition(":")[0]
        for name in (model, undated, f"{provider}:*"):
            if name in self._models:
                return self._models[name]
        return None
