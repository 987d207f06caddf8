"""How much of a question's evidence a search finds in a long conversation (LoCoMo, by turn).

Each conversation goes into a store of its own, one item a turn, written in their order, as
`(date) speaker: text`. Each question is asked through `asearch`; its evidence is the turns that
answer it. Recall@k is the share of them among the first k results, MRR one over the rank of the
first (none within 100 counts 0), both averaged over questions. Categories: 1 several turns needed,
2 time, 3 inference, 4 one turn; 5, questions without an answer, is left out.

Evidence names turns as `D<session>:<turn>`; several in one string all count, what names no turn of
the conversation is left out, and a question of which nothing is left is not asked. `skipped` in
the JSON object counts both.

Data: LoCoMo (A. Maharana et al., Evaluating Very Long-Term Conversational Memory of LLM Agents,
2024), its own format, CC BY-NC 4.0; it is not part of this project.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.store.base import PutOp

from infrastructure.embeddings.builtin import EMBEDDER_NAMES, embedder_named
from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import InputError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.ranking import Ranking
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.training.agemem.replay import (
    CATEGORIES,
    AnnotatedQuestion,
    Conversation,
    read_conversations,
)

RANKING = Ranking(neighbours=0.6)
"""The options of `asearch` for what is written as a conversation."""

DEPTH = 100
NAMESPACE = ("conversation",)
RESAMPLES = 1000


@dataclass(frozen=True)
class Outcome:
    """What of a question's evidence was found; `rank` counts from 1, None if it was not."""

    category: int
    recall_at_5: float
    recall_at_10: float
    rank: int | None


async def ask(conversation: Conversation, embedder: Embedder | None) -> list[Outcome]:
    """Store the conversation, then ask all its questions."""
    memori = Memori.open(":memory:")
    try:
        store = MemoriStore(memori, embedder=embedder)
        await store.abatch(
            [PutOp(NAMESPACE, key, {"text": text}) for key, text in conversation.turns.items()]
        )
        return [await _outcome(store, question) for question in conversation.questions]
    finally:
        await memori.aclose()


async def _outcome(store: MemoriStore, question: AnnotatedQuestion) -> Outcome:
    found = await store.asearch(NAMESPACE, query=question.text, limit=DEPTH, ranking=RANKING)
    keys = [item.key for item in found]
    evidence = frozenset(question.evidence)
    ranks = [rank for rank, key in enumerate(keys, start=1) if key in evidence]
    return Outcome(
        question.category,
        len(evidence.intersection(keys[:5])) / len(evidence),
        len(evidence.intersection(keys[:10])) / len(evidence),
        min(ranks, default=None),
    )


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    n = max(len(outcomes), 1)
    return {
        "recall_at_5": round(sum(one.recall_at_5 for one in outcomes) / n, 4),
        "recall_at_10": round(sum(one.recall_at_10 for one in outcomes) / n, 4),
        "mrr": round(sum(1 / one.rank for one in outcomes if one.rank) / n, 4),
        "n": len(outcomes),
    }


def row(name: str, outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    by_category = {
        str(category): figures([one for one in outcomes if one.category == category])
        for category in CATEGORIES
    }
    return {
        "name": name,
        **figures(outcomes),
        "recall_at_10_ci": interval([one.recall_at_10 for one in outcomes], seed),
        "by_category": by_category,
    }


def interval(values: Sequence[float], seed: int) -> list[float]:
    """95 % bootstrap interval of the mean."""
    draws = random.Random(seed)
    n = len(values)
    means = sorted(sum(draws.choices(values, k=n)) / n for _ in range(RESAMPLES))
    return [round(means[RESAMPLES * 25 // 1000], 4), round(means[RESAMPLES * 975 // 1000], 4)]


async def measure(conversations: Sequence[Conversation], name: str, seed: int) -> dict[str, Any]:
    """The row of an embedder, and as `rows` also that of words alone."""
    embedder = embedder_named(name)
    rows: list[dict[str, Any]] = []
    for label, used in ((name, embedder), ("words alone", None)):
        outcomes = [one for talk in conversations for one in await ask(talk, used)]
        rows.append(row(label, outcomes, seed))
    skipped = {
        "questions": sum(talk.skipped_questions for talk in conversations),
        "evidence": sum(talk.skipped_evidence for talk in conversations),
    }
    return {"embedder": name, **rows[0], "skipped": skipped, "rows": rows}


def show(result: Mapping[str, Any]) -> None:
    print(f"{'':14}{'R@5':>8}{'R@10':>8}{'95 %':>15}{'MRR':>8}   R@10 by category 1 to 4")
    for one in result["rows"]:
        low, high = one["recall_at_10_ci"]
        categories = "".join(f"{part['recall_at_10']:8.3f}" for part in one["by_category"].values())
        print(
            f"{one['name']:14}{one['recall_at_5']:8.3f}{one['recall_at_10']:8.3f}"
            f"{low:9.3f}-{high:.3f}{one['mrr']:8.3f}{categories}"
        )
    print(f"{result['n']} questions; left out for want of existing turns: {result['skipped']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help=".json, .jsonl, or either .gz")
    parser.add_argument("--embedder", choices=EMBEDDER_NAMES, default=EMBEDDER_NAMES[0])
    parser.add_argument("--seed", type=int, default=0, help="of the interval's resampling")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    options = parser.parse_args()
    try:
        conversations = read_conversations(options.data)
    except InputError as error:
        parser.error(str(error))
    if not any(talk.questions for talk in conversations):
        parser.error(f"{options.data} has no question with evidence")
    result = asyncio.run(measure(conversations, options.embedder, options.seed))
    if options.json:
        json.dump(result, sys.stdout)
        print()
    else:
        show(result)


if __name__ == "__main__":
    main()
