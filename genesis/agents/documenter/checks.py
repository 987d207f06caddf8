"""Proves API docs: names, lines, signatures and docstrings found again from tokens, not `ast`."""

from __future__ import annotations

import asyncio
import tokenize
from collections.abc import Iterator
from pathlib import Path

from genesis.agents.documenter.model import Parsed
from genesis.agents.documenter.modules import ModuleFile, modules_of
from genesis.agents.documenter.publish import counts_of, public_modules, undocumented_in
from genesis.agents.documenter.report import ApiDocs, FunctionDoc, ModuleDoc
from genesis.agents.documenter.scan import canonical_signature, scan_module
from genesis.agents.evidence import Refuted, check_of, require, require_equal
from genesis.agents.files import digest_of, is_within, read_source, resolve_input
from genesis.tasks.checks import Check, Submission
from infrastructure.errors import AgentError

API_PROVEN = "api_docs_proven"
_SHORTENED = "..."


async def _prove(submission: Submission, claim: ApiDocs) -> str:
    source = resolve_input(submission, "source")
    return await asyncio.to_thread(_prove_source, source, submission.artifacts_dir, claim)


def _prove_source(source: Path, artifacts_dir: Path, claim: ApiDocs) -> str:
    require_equal("source", claim.source, str(source))
    files = modules_of(source)
    digest = digest_of(source, [module.path for module in files])
    require_equal("digest (files were changed since)", claim.digest, digest)
    found = public_modules(_scanned(files, source, claim), source)
    _compare_modules(claim.modules, found)
    undocumented = sorted((i.module, i.line, i.name) for i in undocumented_in(found))
    claimed = sorted((i.module, i.line, i.name) for i in claim.undocumented)
    require_equal("without a docstring", claimed, undocumented)
    require_equal("counts", claim.counts, counts_of(found))
    _compare_markdown(claim, artifacts_dir)
    counts = claim.counts
    return (
        f"{counts.classes} classes, {counts.functions} functions and {counts.methods} methods of"
        f" {counts.modules} modules found again from the source's tokens"
    )


def _scanned(
    files: list[ModuleFile], source: Path, claim: ApiDocs
) -> dict[str, tuple[ModuleFile, Parsed]]:
    """Every file that the claim says was read; what it says was not must not compile."""
    unreadable = {item.path for item in claim.unreadable}
    scanned: dict[str, tuple[ModuleFile, Parsed]] = {}
    for module in files:
        path = module.path.relative_to(source) if module.path != source else Path(source.name)
        if path.as_posix() in unreadable:
            unreadable.remove(path.as_posix())
            require(not _compiles(module.path), f"{path} is said to be unreadable and compiles")
            continue
        try:
            scanned[module.name] = (module, scan_module(read_source(module.path)))
        except (AgentError, SyntaxError, tokenize.TokenError) as error:
            raise Refuted(f"{path} cannot be read, the result does not say so: {error}") from error
    require(not unreadable, f"no such files: {sorted(unreadable)}")
    return scanned


def _compiles(path: Path) -> bool:
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _compare_modules(claimed: list[ModuleDoc], found: list[ModuleDoc]) -> None:
    require_equal("modules", _places(claimed), _places(found))
    for said, seen in zip(claimed, found, strict=True):
        require_equal(f"docstring of {said.name}", said.doc, seen.doc)
        mine = dict(_functions(seen))
        theirs = list(_functions(said))
        names = sorted((name, function.line) for name, function in theirs)
        require_equal(
            f"functions and methods of {said.name}",
            names,
            sorted((name, function.line) for name, function in mine.items()),
        )
        for name, function in theirs:
            _compare_function(f"{said.name}.{name}", function, mine[name])
        classes = [(item.name, item.line, item.doc) for item in said.classes]
        require_equal(
            f"classes of {said.name}",
            classes,
            [(item.name, item.line, item.doc) for item in seen.classes],
        )


def _places(modules: list[ModuleDoc]) -> list[tuple[str, str]]:
    return [(module.name, module.path) for module in modules]


def _functions(module: ModuleDoc) -> Iterator[tuple[str, FunctionDoc]]:
    yield from ((function.name, function) for function in module.functions)
    for item in module.classes:
        yield from ((f"{item.name}.{method.name}", method) for method in item.methods)


def _compare_function(name: str, said: FunctionDoc, seen: FunctionDoc) -> None:
    require_equal(f"docstring of {name}", said.doc, seen.doc)
    try:
        signature = canonical_signature(said.signature)
    except (SyntaxError, tokenize.TokenError) as error:
        raise Refuted(f"signature of {name}: {error}") from error
    if _SHORTENED not in said.signature:  # a long default is left out of the document
        require_equal(f"signature of {name}", signature, seen.signature)
    start = signature.split(" ", 2)
    require(said.name in start, f"signature of {name} is of {start}")


def _compare_markdown(claim: ApiDocs, artifacts_dir: Path) -> None:
    path = Path(claim.markdown_path)
    require(path.is_file(), "the Markdown document is missing")
    require(is_within(path.resolve(), [artifacts_dir]), "the Markdown document lies elsewhere")
    text = path.read_text(encoding="utf-8", errors="replace")
    for module in claim.modules:
        require(f"`{module.name}`" in text, f"the document does not speak of {module.name}")
        for name, function in _functions(module):
            shown = function.signature.encode("utf-8", "replace").decode()
            require(shown in text, f"the document does not show {module.name}.{name}")
    for item in claim.undocumented:
        entry = f"`{item.module}.{item.name}`"
        require(entry in text, f"the document does not list {entry} as undocumented")


CHECKS: dict[str, Check] = {API_PROVEN: check_of(API_PROVEN, "api_docs", ApiDocs, _prove)}
CHECKS_OF_DATA = {"api_docs": API_PROVEN}
