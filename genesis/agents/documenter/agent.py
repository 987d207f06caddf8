"""The documenter: the public API of a package or module, read from its source."""

from __future__ import annotations

import asyncio
from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.agents.documenter.checks import CHECKS, CHECKS_OF_DATA
from genesis.agents.documenter.extract import parse_module
from genesis.agents.documenter.markdown import render
from genesis.agents.documenter.model import Parsed
from genesis.agents.documenter.modules import ModuleFile, modules_of
from genesis.agents.documenter.publish import (
    counts_of,
    public_modules,
    undocumented_in,
)
from genesis.agents.documenter.report import ApiDocs, Unreadable
from genesis.agents.files import digest_of, read_source, resolve_input
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError
from infrastructure.text import counted

__all__ = ["CARD", "CHECKS", "CHECKS_OF_DATA", "run"]

CARD = AgentCard(
    name="documenter",
    description="Documents the public API of a Python package or module from its source.",
    skills=(
        Skill(
            id="document_api",
            description="Public classes and functions with signatures; what lacks a docstring.",
            task_types=("documentation",),
            requires=("source",),
            produces=("api_docs",),
            seconds=2.0,
        ),
    ),
)
_SHOWN = 20


async def run(assignment: Assignment) -> TaskOutput:
    """Document the input `source`, a package folder or a module, without importing it.

    Raises:
        AgentError: it holds no Python module, or none that can be read.
        InputError: the source cannot be used.
    """
    source = resolve_input(assignment, "source")
    return await asyncio.to_thread(_document, source, assignment.artifacts_dir)


def _document(source: Path, artifacts_dir: Path) -> TaskOutput:
    files = modules_of(source)
    if not files or (source.is_file() and source.suffix != ".py"):
        raise AgentError(f"{source} holds no Python module; give a package's folder or a .py file")
    digest = digest_of(source, [module.path for module in files])
    parsed, unreadable = _parse(files, source)
    if not parsed:
        problems = "; ".join(f"{item.path}: {item.problem}" for item in unreadable[:3])
        raise AgentError(f"no module of {source} can be read: {problems}")
    modules = public_modules(parsed, source)
    markdown = artifacts_dir / f"{source.stem}-api.md"
    docs = ApiDocs(
        source=str(source),
        digest=digest,
        modules=modules,
        undocumented=undocumented_in(modules),
        unreadable=unreadable,
        counts=counts_of(modules),
        markdown_path=str(markdown),
    )
    markdown.write_text(render(docs, source.stem), encoding="utf-8", errors="replace")
    return TaskOutput(
        text=_text(docs), data={"api_docs": docs.model_dump()}, artifacts=(str(markdown),)
    )


def _parse(
    files: list[ModuleFile], source: Path
) -> tuple[dict[str, tuple[ModuleFile, Parsed]], list[Unreadable]]:
    parsed: dict[str, tuple[ModuleFile, Parsed]] = {}
    unreadable: list[Unreadable] = []
    for module in files:
        try:
            parsed[module.name] = (module, parse_module(read_source(module.path)))
        except (AgentError, SyntaxError, ValueError, RecursionError) as error:
            path = module.path.relative_to(source) if module.path != source else Path(source.name)
            problem = str(error) or type(error).__name__
            unreadable.append(Unreadable(path=path.as_posix(), problem=problem))
    return parsed, unreadable


def _text(docs: ApiDocs) -> str:
    counts = docs.counts
    lines = [
        f"{Path(docs.source).name}: {counted(counts.modules, 'module')},"
        f" {counted(counts.classes, 'class')},"
        f" {counted(counts.functions, 'function')}, {counted(counts.methods, 'method')};"
        f" {counts.documented_percent:g} % have a docstring. Document: {docs.markdown_path}"
    ]
    if docs.undocumented:
        lines.append(f"{counts.undocumented} public names without a docstring:")
    lines += [f"- {i.module}.{i.name} (line {i.line})" for i in docs.undocumented[:_SHOWN]]
    if counts.undocumented > _SHOWN:
        lines.append(f"- and {counts.undocumented - _SHOWN} more, all in the document")
    lines += [
        f"Could not be read: {item.path}: {item.problem}" for item in docs.unreadable[:_SHOWN]
    ]
    return "\n".join(lines)
