"""The problems that every route may answer with, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from genesis.server.errors import PROBLEM_JSON, Problem

_WHEN: Final = {
    400: "The body is no JSON.",
    401: "No token, or one that is not known or has expired.",
    404: "No such run; runs of other tenants are none.",
    408: "The body did not come in time.",
    409: "Another process or task works on the run.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The request cannot be used; `faults` says where and why.",
    429: "More requests or streams than one caller may have; see `Retry-After`.",
    500: "An unexpected failure.",
    503: "Too many runs wait, the store is away, or the server shuts down; see `Retry-After`.",
}

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    code: {
        "description": when,
        "content": {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
    }
    for code, when in _WHEN.items()
}
