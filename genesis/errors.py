"""Every error that Genesis raises on purpose, and those of planning, routing and runs.

GenesisError                      (infrastructure.errors)
├── ConfigError
├── InputError
│   ├── PolicyRefused
│   ├── WorkspaceError
│   └── UnknownRun                no run has this id
├── StoreError
│   ├── StoreUnavailable
│   └── SchemaTooNew
├── ModelError
│   └── ModelNotConfigured
├── AgentError
│   ├── AgentUnavailable
│   │   └── AgentMisbehaved
│   ├── SandboxError
│   │   └── SandboxUnavailable
│   ├── InputRequired
│   └── TaskTimeout
├── BudgetExceeded
├── Overloaded                    too many requests wait for their turn already
├── RunBusy                       somebody else works on the run
├── InvalidPlan                   a plan is not a valid DAG: cycle, unknown id, missing datum
├── PlanningError                 no planner could make a plan that validates
└── RoutingError                  no agent can do a task
"""

from __future__ import annotations

from infrastructure.errors import (
    AgentError,
    AgentMisbehaved,
    AgentUnavailable,
    BudgetExceeded,
    ConfigError,
    GenesisError,
    InputError,
    InputRequired,
    ModelError,
    ModelNotConfigured,
    PolicyRefused,
    SandboxError,
    SandboxUnavailable,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
    TaskTimeout,
    WorkspaceError,
)


class UnknownRun(InputError):
    """No run has this id."""


class Overloaded(GenesisError):
    """Too many requests wait for their turn already, or the process is to end: try again later.

    Nothing of the request was stored.
    """


class RunBusy(GenesisError):
    """Somebody else works on the run: another process, or another task of this one."""


class InvalidPlan(GenesisError):
    """A plan is not a valid DAG: a cycle, an unknown or repeated id, a datum nobody produces."""


class PlanningError(GenesisError):
    """No planner could make a plan that validates; the message gives each planner's reason."""


class RoutingError(GenesisError):
    """No agent can do a task; the message says why each candidate was rejected."""


__all__ = [
    "AgentError",
    "AgentMisbehaved",
    "AgentUnavailable",
    "BudgetExceeded",
    "ConfigError",
    "GenesisError",
    "InputError",
    "InputRequired",
    "InvalidPlan",
    "ModelError",
    "ModelNotConfigured",
    "Overloaded",
    "PlanningError",
    "PolicyRefused",
    "RoutingError",
    "RunBusy",
    "SandboxError",
    "SandboxUnavailable",
    "SchemaTooNew",
    "StoreError",
    "StoreUnavailable",
    "TaskTimeout",
    "UnknownRun",
    "WorkspaceError",
]
