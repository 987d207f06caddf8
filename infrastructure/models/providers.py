"""Which package makes the chat model of a provider. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from infrastructure.errors import ModelNotConfigured
from infrastructure.models.failures import redact

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class Provider:
    """How one provider's LangChain class is found and called.

    Attributes:
        module: the module to import; its package on PyPI is the same name with dashes.
        class_name: the chat model's class in it.
        key_variable: the environment variable that holds the key; empty when none is needed.
        limit_argument: the argument that bounds the answer's tokens.
    """

    module: str
    class_name: str
    key_variable: str = ""
    limit_argument: str = "max_tokens"

    @property
    def package(self) -> str:
        """What `pip install` takes."""
        return self.module.replace("_", "-")


PROVIDERS = {
    "anthropic": Provider("langchain_anthropic", "ChatAnthropic", "ANTHROPIC_API_KEY"),
    "deepseek": Provider("langchain_deepseek", "ChatDeepSeek", "DEEPSEEK_API_KEY"),
    "google_genai": Provider(
        "langchain_google_genai", "ChatGoogleGenerativeAI", "GOOGLE_API_KEY", "max_output_tokens"
    ),
    "groq": Provider("langchain_groq", "ChatGroq", "GROQ_API_KEY"),
    "mistralai": Provider("langchain_mistralai", "ChatMistralAI", "MISTRAL_API_KEY"),
    "ollama": Provider("langchain_ollama", "ChatOllama", limit_argument="num_predict"),
    "openai": Provider("langchain_openai", "ChatOpenAI", "OPENAI_API_KEY"),
    "xai": Provider("langchain_xai", "ChatXAI", "XAI_API_KEY"),
}
OTHER = Provider("langchain", "")


def load_chat_model(name: str) -> BaseChatModel:
    """The LangChain chat model "provider:name", without retries of its own.

    Raises:
        ModelNotConfigured: the name, the package or the key is missing; says which and what to do.
    """
    provider_name, _, model_name = name.partition(":")
    if not provider_name or not model_name:
        raise ModelNotConfigured(
            f"{name!r} does not name a chat model: write 'provider:name', such as "
            f"'openai:gpt-4.1-mini'; known providers are {', '.join(PROVIDERS)}"
        )
    provider = PROVIDERS.get(provider_name)
    if provider is None:
        return _load_any(provider_name, model_name)
    make = getattr(_import(provider.module, name, provider.package), provider.class_name)
    return _construct(lambda: make(model=model_name, **_arguments(make)), name, provider)


def provider_of(model: BaseChatModel) -> tuple[str, Provider]:
    """The provider of a given instance, by the package of its class."""
    packages = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    for name, provider in PROVIDERS.items():
        if provider.module in packages:
            return name, provider
    return type(model).__name__.lower(), OTHER


def _arguments(make: Any) -> dict[str, Any]:
    """The constructor's arguments that switch off retries and connections kept between calls.

    The clients that LangChain caches outlive an event loop with their idle connections, and then
    fail the first call in the next `asyncio.run`; a connection a call costs little beside an
    answer of a model.
    """
    import httpx

    fields: dict[str, Any] = getattr(make, "model_fields", {})
    arguments: dict[str, Any] = {}
    if "max_retries" in fields:
        arguments["max_retries"] = 0
    if "http_async_client" in fields:
        limits = httpx.Limits(max_keepalive_connections=0)
        arguments["http_async_client"] = httpx.AsyncClient(limits=limits)
    return arguments


def _load_any(provider: str, model: str) -> BaseChatModel:
    if importlib.util.find_spec("langchain") is None:
        raise ModelNotConfigured(
            f"{provider!r} is none of the known providers ({', '.join(PROVIDERS)}); for others "
            "run 'pip install langchain', or pass an instance: GenesisOrchestrator(model=...)"
        )
    name = f"{provider}:{model}"
    init_chat_model = _import("langchain.chat_models", name, "langchain").init_chat_model
    return _construct(lambda: init_chat_model(model, model_provider=provider), name, OTHER)


def _import(module: str, name: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelNotConfigured(
            f"the chat model {name!r} needs a package: run 'pip install {package}' ({error})"
        ) from error


def _construct(make: Callable[[], object], name: str, provider: Provider) -> BaseChatModel:
    try:
        return cast("BaseChatModel", make())
    except Exception as error:  # noqa: BLE001 - each provider raises errors of its own here
        hint = f"; is {provider.key_variable} set?" if provider.key_variable else ""
        # Without the cause, whose text may show the key.
        raise ModelNotConfigured(
            f"the chat model {name!r} cannot be set up: {redact(str(error))}{hint}"
        ) from None
