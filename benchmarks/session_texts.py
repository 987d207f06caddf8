"""Sessions that look like work: real text, tables and code, drawn by a seeded generator.

The words come from what is installed: docstrings and source of the standard library, tables of
vega_datasets. Both are split by file into two halves, so that sessions of one half share no text
with sessions of the other but what all documentation, code and tables share.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import re
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from genesis.tasks.types import TASK_TYPES
from infrastructure.memory.memori.workflows import Workflow

KINDS: Final = ("metrics", "notes", "outputs")
OUTPUT_CHARACTERS: Final = (1400, 1600)
SUBJECTS: Final = 9

_AGENTS: Final = {
    "data_analysis": ("data_analyst", ""),
    "testing": ("tester", ""),
    "documentation": ("documenter", ""),
    "debugging": ("debugger", ""),
    "optimization": ("profiler", ""),
}
_MODELS: Final = ("openai:gpt-4.1-mini", "openai:gpt-4.1", "anthropic:claude-haiku-4-5")
_SOURCE_BYTES: Final = (8_000, 60_000)
_MODULES: Final = 120


@dataclass(frozen=True)
class Function:
    """A documented function of the standard library."""

    module: str
    name: str
    signature: str
    doc: str
    source: str
    line: int


@dataclass(frozen=True)
class Corpus:
    """One half of the sources."""

    modules: tuple[tuple[Function, ...], ...]
    sentences: tuple[tuple[str, ...], ...]
    tables: tuple[tuple[str, ...], ...]
    table_names: tuple[str, ...]


@lru_cache
def corpora() -> tuple[Corpus, Corpus]:
    """Two halves without a file in common."""
    folder = Path(sysconfig.get_path("stdlib"))
    low, high = _SOURCE_BYTES
    files = [f for f in sorted(folder.glob("*.py")) if low <= f.stat().st_size <= high]
    read = [_functions(file) for file in files[:_MODULES]]
    documented = [functions for functions in read if len(functions) >= 4]
    spec = importlib.util.find_spec("vega_datasets")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs vega_datasets; run `make setup`")
    tables = sorted((Path(spec.origin).parent / "_data").glob("*.csv"))
    return _half(documented[0::2], tables[0::2]), _half(documented[1::2], tables[1::2])


def session(
    corpus: Corpus, kind: str, session_id: str, rng: random.Random, count: int = 12
) -> list[Workflow]:
    """The records of one session: pieces of work on many subjects, one after another."""
    subjects = rng.sample(range(len(corpus.modules)), SUBJECTS)
    now = 1.75e9 + rng.uniform(0, 3e7)
    found: list[Workflow] = []
    for _ in range(count):
        task_type = rng.choices(TASK_TYPES, weights=(3, 3, 3, 1, 2, 1, 2, 1, 2))[0]
        subject = rng.choice(subjects)
        duration = rng.lognormvariate(2.0, 1.0)
        now += duration + rng.expovariate(1 / 90)
        tokens = (int(rng.lognormvariate(8, 0.7)), int(rng.lognormvariate(6, 0.8)))
        metadata = _metrics(rng, tokens)
        if kind != "metrics":
            metadata["notes"] = " ".join(_some(rng, corpus.sentences[subject], 2))
        if kind == "outputs":
            metadata["output"] = _output(corpus, task_type, subject, rng)
        record_id = _ulid(rng, now)
        found.append(
            Workflow(
                id=record_id,
                run_id=record_id,
                task_type=task_type,
                steps=_steps(rng, task_type),
                success=rng.random() < 0.85,
                duration_s=duration,
                cost_usd=tokens[0] * 4e-7 + tokens[1] * 1.6e-6,
                session_id=session_id,
                created_at=round(now, 6),
                metadata=metadata,
                recalled=rng.random() < 0.5,
            )
        )
    return found


def _metrics(rng: random.Random, tokens: tuple[int, int]) -> dict[str, Any]:
    return {
        "tokens": {"input": tokens[0], "output": tokens[1]},
        "calls": rng.randint(1, 9),
        "retries": rng.choice((0, 0, 0, 1, 2)),
        "plan_source": rng.choice(("template", "memory", "model")),
        "difficulty": round(rng.betavariate(2, 4), 3),
        "quality": round(rng.betavariate(8, 2), 4),
        "first_token_ms": round(rng.lognormvariate(5.5, 0.5), 1),
    }


def _steps(rng: random.Random, task_type: str) -> tuple[str, ...]:
    kinds = rng.choices(TASK_TYPES, k=rng.randint(0, 3))
    return tuple(_step(rng, kind) for kind in (*kinds, task_type))


def _step(rng: random.Random, task_type: str) -> str:
    agent, model = _AGENTS.get(task_type, ("builder", rng.choice(_MODELS)))
    return f"{task_type}:{agent}:{model}"


def _output(corpus: Corpus, task_type: str, subject: int, rng: random.Random) -> str:
    functions = corpus.modules[subject]
    if task_type == "data_analysis":
        text = _table_report(corpus, rng)
    elif task_type in ("testing", "optimization"):
        text = _test_report(functions, rng)
    elif task_type == "debugging":
        text = _traceback(functions, rng)
    elif task_type in ("code_generation", "deployment"):
        text = "\n\n".join(f.source for f in rng.sample(functions, len(functions)))
    elif task_type == "documentation":
        listed = rng.sample(functions, len(functions))
        text = "\n".join(f"### `{f.module}.{f.signature}`\n\n{f.doc}\n" for f in listed)
    else:
        text = " ".join(_some(rng, corpus.sentences[subject], 40))
    return text[: rng.randint(*OUTPUT_CHARACTERS)]


def _table_report(corpus: Corpus, rng: random.Random) -> str:
    table = rng.randrange(len(corpus.tables))
    header, *rows = corpus.tables[table]
    start = rng.randrange(max(1, len(rows) - 60))
    columns = header.split(",")
    asked = rng.choice(columns)
    lines = [f"{corpus.table_names[table]}: {len(rows)} rows, ordered by {asked}", header]
    return "\n".join([*lines, *rows[start : start + 60]])


def _test_report(functions: Sequence[Function], rng: random.Random) -> str:
    lines: list[str] = []
    for position, function in enumerate(rng.sample(functions, len(functions))):
        verdict = rng.choices(("PASSED", "FAILED", "SKIPPED"), weights=(8, 1, 1))[0]
        share = 100 * (position + 1) // len(functions)
        lines.append(
            f"tests/test_{function.module}.py::test_{function.name} {verdict} [{share:3}%]"
        )
    failed = rng.choice(functions)
    lines.append(f"{'_' * 30} test_{failed.name} {'_' * 30}")
    lines += [f"    {line}" for line in failed.source.splitlines()]
    lines.append(f"E   AssertionError: {failed.doc}")
    return "\n".join(lines)


def _traceback(functions: Sequence[Function], rng: random.Random) -> str:
    lines = ["Traceback (most recent call last):"]
    for function in rng.sample(functions, min(6, len(functions))):
        body = [line.strip() for line in function.source.splitlines() if line.strip()]
        number = rng.randrange(len(body))
        lines.append(
            f'  File "src/{function.module}.py", line {function.line + number},'
            f" in {function.name}\n    {body[number]}"
        )
    cause = rng.choice(functions)
    lines.append(f"ValueError: {cause.doc.splitlines()[0]}\n\nLikely cause: {cause.doc}")
    lines.append(cause.source)
    return "\n".join(lines)


def _some(rng: random.Random, sentences: Sequence[str], count: int) -> list[str]:
    return rng.sample(sentences, min(count, len(sentences)))


def _ulid(rng: random.Random, now: float) -> str:
    symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    value = int(now * 1000) << 80 | rng.getrandbits(80)
    return "".join(symbols[value >> shift & 31] for shift in range(125, -1, -5))


def _functions(file: Path) -> tuple[Function, ...]:
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    found: list[Function] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        doc = ast.get_docstring(node)
        if doc:
            text = dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
            signature = f"{node.name}({ast.unparse(node.args)})"
            found.append(Function(file.stem, node.name, signature, doc, text, node.lineno))
    return tuple(found)


def _half(modules: Sequence[tuple[Function, ...]], tables: Sequence[Path]) -> Corpus:
    return Corpus(
        modules=tuple(modules),
        sentences=tuple(_sentences(functions) for functions in modules),
        tables=tuple(tuple(t.read_text(encoding="utf-8").splitlines()) for t in tables),
        table_names=tuple(table.name for table in tables),
    )


def _sentences(functions: Sequence[Function]) -> tuple[str, ...]:
    text = " ".join(" ".join(function.doc.split()) for function in functions)
    return tuple(s for s in re.split(r"(?<=[.!?]) +", text) if 20 <= len(s) <= 300)
