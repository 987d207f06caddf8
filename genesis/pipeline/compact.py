"""Step 7: ask for the session's compaction; a bounded worker does it off the answer's path."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.state import RunState


async def compact(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Ask, do not wait; `drain()` waits. A run that is a part of another leaves no workflow."""
    context = runtime.context
    top = not context.level.depth
    if top and context.services.flags.compaction_enabled and state.recorded:
        context.services.compaction.request(context.session_id)
    return {}
