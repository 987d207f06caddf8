"""What memory is worth to each of the four planning steps: the same stream of requests, on and off.

Every request needs facts, a text and a print of it. The plan that is declared first fetches facts
by an operation that hardly ever passes its check; another way is declared too. Four writers
differ in how often they pass and in what they take, and declare the same. The printer takes twenty
times what it declares, and every third request has a budget that it does not fit in.

htdag   plans made again, per request: after the branch failed the way that works is remembered
halo    share of texts whose first writer passed its check
aop     dollars spent per 100 requests on work that its budget could not carry to its end
daao    dollars per 100 verified texts, all attempts counted

Random are the agents' successes, the same for both rows (a seed).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genesis import GenesisOrchestrator, OrchestrationResult, Skill, TaskOutput
from genesis.tasks.task import Usage, Verdict
from infrastructure.config import load_flags, load_settings

CONFIG = """
given: {}
deliverables:
  print: {phrases: [poster]}
asked:
  general: {principal: [print]}
templates:
  - name: poster
    asks: [print]
    tasks:
      - {id: fetch, description: Fetch facts., operation: fetch_live, produces: [facts],
         acceptance: [{check: right}]}
      - {id: write, description: Write., operation: write, requires: [facts], produces: [words],
         acceptance: [{check: right}]}
      - {id: print, description: Print., operation: print, requires: [words], produces: [print],
         acceptance: [{check: right}]}
  - name: archive
    asks: [facts]
    tasks:
      - {id: index, description: Index., operation: make_index, produces: [index],
         acceptance: [{check: right}]}
      - {id: archive, description: Look up., operation: fetch_archive, requires: [index],
         produces: [facts], acceptance: [{check: right}]}
"""
DECLARED_USD = 0.01
TIGHT_USD = 0.12
TIGHT_EVERY = 3


@dataclass(frozen=True)
class Hidden:
    """What is true of an agent and nobody is told."""

    operation: str
    requires: tuple[str, ...]
    produces: str
    success: float
    usd: float


AGENTS = {
    "live": Hidden("fetch_live", (), "facts", 0.05, 0.01),
    "indexer": Hidden("make_index", (), "index", 1.0, 0.001),
    "archive": Hidden("fetch_archive", ("index",), "facts", 0.95, 0.01),
    "writer_1": Hidden("write", ("facts",), "words", 0.3, 0.02),
    "writer_2": Hidden("write", ("facts",), "words", 0.6, 0.012),
    "writer_3": Hidden("write", ("facts",), "words", 0.9, 0.006),
    "writer_4": Hidden("write", ("facts",), "words", 0.95, 0.03),
    "printer": Hidden("print", ("words",), "print", 1.0, 0.2),
}


async def right(submission: Any) -> Verdict:
    """The acceptance check: what was handed in says whether it is right."""
    made = next(iter(submission.output.data.values()))
    return Verdict(bool(made["right"]), "right", "compared with the hidden truth")


class Shop:
    """One orchestrator and its agents."""

    def __init__(self, folder: Path, *, memory: bool, seed: int) -> None:
        self._rng = {name: random.Random(f"{seed} {name}") for name in AGENTS}
        name = "with" if memory else "without"
        self.orchestrator = GenesisOrchestrator(
            agents=[],
            settings=load_settings(
                db_path=str(folder / f"{name}.db"), data_dir=folder / name, workspace=folder
            ),
            flags=load_flags().model_copy(update={"memory_enabled": memory}),
        )
        for agent, hidden in AGENTS.items():
            self._register(agent, hidden)

    def _register(self, name: str, hidden: Hidden) -> None:
        async def work(assignment: Any) -> TaskOutput:
            made = {"right": self._rng[name].random() < hidden.success}
            return TaskOutput(name, {hidden.produces: made}, usage=Usage(cost_usd=hidden.usd))

        skill = Skill(
            hidden.operation,
            f"Does {hidden.operation}.",
            requires=hidden.requires,
            produces=(hidden.produces,),
            cost_usd=DECLARED_USD,
            seconds=0.001,
        )
        checks = {"right": right} if name == "live" else {}
        self.orchestrator.register_agent(
            work, name=name, skills=[skill], checks=checks, checks_of_data={}
        )

    async def serve(self, requests: int) -> dict[str, float]:
        """The four figures over a stream of requests."""
        count: Counter[str] = Counter()
        async with self.orchestrator as orchestrator:
            for number in range(requests):
                tight = number % TIGHT_EVERY == TIGHT_EVERY - 1
                result = await orchestrator.execute_orchestrated_request(
                    f"Please make a poster for customer {number}",
                    budget_usd=TIGHT_USD if tight else None,
                )
                if tight:
                    count["tight"] += 1
                    # Beyond its budget a run may not go; what is not finished is worth nothing.
                    if not result.success or result.cost_usd > TIGHT_USD:
                        count["vain_microusd"] += round(result.cost_usd * 1e6)
                else:
                    events = await orchestrator.services.memory.events(result.run_id)
                    count["plans"] += sum(event["type"] == "PlanMade" for event in events)
                    self._written(result, count)
        roomy = count["roomy"]
        return {
            "plans_made_again": round((count["plans"] - roomy) / roomy, 3),
            "first_writer_verified": round(count["first"] / count["texts"], 3),
            "spent_in_vain_usd": round(100 * count["vain_microusd"] / 1e6 / count["tight"], 2),
            "usd_per_100_texts": round(100 * count["text_microusd"] / 1e6 / count["verified"], 2),
        }

    def _written(self, result: OrchestrationResult, count: Counter[str]) -> None:
        count["roomy"] += 1
        for task in result.tasks:
            if task.operation != "write" or not task.attempts:
                continue
            count["texts"] += 1
            count["first"] += task.attempts[0].outcome == "verified"
            count["verified"] += task.status == "completed"
            count["text_microusd"] += round(task.cost_usd * 1e6)


async def measure(requests: int, seed: int) -> list[dict[str, Any]]:
    """Both rows."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "config").mkdir()
        (folder / "config" / "plan_templates.yaml").write_text(CONFIG, encoding="utf-8")
        (folder / "config" / "routing_rules.yaml").write_text("rules: []\n", encoding="utf-8")
        os.environ["GENESIS_CONFIG_DIR"] = str(folder / "config")
        for memory in (True, False):
            found = await Shop(folder, memory=memory, seed=seed).serve(requests)
            rows.append({"name": "with memory" if memory else "without", **found})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    options = parser.parse_args()
    if options.requests < TIGHT_EVERY:
        parser.error(f"--requests must be at least {TIGHT_EVERY}")
    rows = asyncio.run(measure(options.requests, options.seed))
    if options.json:
        print(json.dumps({"requests": options.requests, "seed": options.seed, "rows": rows}))
        return
    print(f"{'':28}{'with memory':>14}{'without':>10}")
    for step, key in (
        ("htdag: plans made again", "plans_made_again"),
        ("halo: first writer verified", "first_writer_verified"),
        ("aop: $ in vain per 100", "spent_in_vain_usd"),
        ("daao: $ per 100 texts", "usd_per_100_texts"),
    ):
        print(f"{step:28}{rows[0][key]:14}{rows[1][key]:10}")


if __name__ == "__main__":
    main()
