"""Two programming requests with a chat model: the second adapts the first one's plan.

    GENESIS_MODEL=openai:gpt-4.1-mini python examples/two_algorithms.py

Without a model both fail and say which setting to make.
"""

from __future__ import annotations

import asyncio
import sys

from genesis import GenesisOrchestrator, OrchestrationResult

REQUESTS = ("Implement a binary search algorithm", "Implement a quicksort algorithm")


async def implement(orchestrator: GenesisOrchestrator) -> list[OrchestrationResult]:
    """Both requests in one session, one after the other."""
    return [
        await orchestrator.execute_orchestrated_request(request, "algorithms")
        for request in REQUESTS
    ]


async def main() -> int:
    async with GenesisOrchestrator() as orchestrator:
        results = await implement(orchestrator)
    for request, result in zip(REQUESTS, results, strict=True):
        print(f"{request}: {'done' if result.success else 'failed'}")
        print(f"  plan from {result.plan_source}; {'; '.join(result.recalled.changed)}")
        print(f"  files: {', '.join(result.artifacts) or '-'}")
        for error in result.errors:
            print(f"  {error}")
    return 0 if all(result.success for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
