"""The root of the exception hierarchy, and what storage, network, models and configuration raise.

GenesisError
├── ConfigError            a setting is wrong: file, key, what is allowed
├── InputError             what the caller gave cannot be used (empty, too large, unknown id)
│   ├── PolicyRefused      a memory policy's file cannot be used: damaged, or made for another
│   └── WorkspaceError     a path leads outside the workspace, or cannot be read
├── StoreError             the memory store failed; nothing was half-written
│   ├── VersionConflict    an item is not the version that the caller expected
│   ├── StoreUnavailable   cannot be opened, locked, full, read-only or damaged
│   └── SchemaTooNew       written by a newer Genesis
├── ModelError             a chat model is missing, failed, or answered what cannot be used
│   └── ModelNotConfigured no model is set; names the setting to make
├── AgentError             an agent failed
│   ├── AgentUnavailable   cannot be reached, or its circuit breaker is open (another may be)
│   │   └── AgentMisbehaved  what it sends cannot be used: not A2A, endless, too large, changed
│   ├── SandboxError       a command cannot be confined, so that it was not run
│   │   └── SandboxUnavailable  this machine has no sandbox; names what to install
│   ├── InputRequired      an agent waits for what only a person can give
│   └── TaskTimeout        an agent took longer than its task allows
└── BudgetExceeded         the next call would cost more than is left

`genesis.errors` adds what planning, routing and runs raise. A message says what failed, why, and
what to do about it.
"""

from __future__ import annotations


class GenesisError(Exception):
    """Base of every error that Genesis raises on purpose."""


class ConfigError(GenesisError):
    """A configuration value is wrong.

    Args:
        source: the file or environment variable that holds the value.
        key: the key within it, dotted; empty when the whole source is meant.
        problem: what is wrong and what is allowed.
    """

    def __init__(self, source: str, key: str, problem: str) -> None:
        self.source = source
        self.key = key
        self.problem = problem
        where = f"{source}: {key}" if key else source
        super().__init__(f"{where}: {problem}")


class InputError(GenesisError):
    """What the caller gave cannot be used."""


class PolicyRefused(InputError):
    """A memory policy cannot be used: damaged, or made for other features, actions or vectors."""


class WorkspaceError(InputError):
    """A path leads outside the workspace, does not exist, or cannot be read."""


class StoreError(GenesisError):
    """The memory store failed; nothing of the failed operation was stored."""


class VersionConflict(StoreError):
    """An item was changed since the caller read it: read it again, and decide anew."""


class StoreUnavailable(StoreError):
    """The store cannot be opened or written: missing folder, locked, full, read-only, damaged."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Genesis than this one."""


class ModelError(GenesisError):
    """A chat model failed or answered something that cannot be used.

    Args:
        message: what failed, why, and what to do.
        retryable: whether the same call may succeed later (rate limit, network, server failure).
        retry_after_s: seconds that the provider asks to be left alone before; None if it does not.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ModelNotConfigured(ModelError):
    """The task needs a chat model and none is set."""


class AgentError(GenesisError):
    """An agent failed at its task."""


class AgentUnavailable(AgentError):
    """An agent cannot be reached now; trying again or asking another may help."""


class AgentMisbehaved(AgentUnavailable):
    """What an agent sends cannot be used: not A2A, endless, too large, or its card has changed.

    It is as good as away, so it counts against its circuit breaker; asking it again would not
    help, asking another may.
    """

    retryable = False


class InputRequired(AgentError):
    """An agent's function raises this to ask for what only a person can give.

    Its task waits. Once answered, the function is called again with the question and the answer
    among `Assignment.notes`.

    Args:
        question: what it asks for.
        sign_in: it asks for a sign-in or for credentials, and not for an answer.
    """

    retryable = False

    def __init__(self, question: str, *, sign_in: bool = False) -> None:
        super().__init__(question)
        self.question = question
        self.sign_in = sign_in


class SandboxError(AgentError):
    """The sandbox cannot be set up, or cannot take what it was given; nothing was run."""


class SandboxUnavailable(SandboxError):
    """This machine has no sandbox; the message names what is missing and how to install it."""


class TaskTimeout(AgentError):
    """An agent took longer than its task allows."""


class BudgetExceeded(GenesisError):
    """The next call would cost more than is left of the run's budget."""
