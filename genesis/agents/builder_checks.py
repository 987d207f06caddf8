"""Proof that a built project works: read from disk, compiled, and run afresh with and without code.

Nothing that the builder says is believed. The tests are the model's own, so this proves that code
and tests agree, that the tests depend on the code, and that the code names what was asked for; it
does not prove that the tests cover all of the request.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from genesis.agents.builder_files import is_source, is_test, read_project
from genesis.agents.builder_run import RUN_TIMEOUT_S, RunReport, run_project
from genesis.agents.evidence import Refuted, require
from genesis.agents.files import time_limit_s
from genesis.agents.topic import is_about, missing_words, topic_of
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import TaskOutput, Verdict
from infrastructure.errors import GenesisError
from infrastructure.text import one_line

BUILT_PROJECT = "built_project"
_RUNS = 2
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def make_checks(*, confined: bool) -> dict[str, Check]:
    """The builder's acceptance checks by name.

    Args:
        confined: whether generated code runs in the sandbox; for a remote caller it always does.
    """

    async def built_project(submission: Submission) -> Verdict:
        """All files compile; the tests pass in a fresh copy and fail once the code is gone."""
        try:
            reason = await _prove(submission, confined or submission.sandboxed)
        except (Refuted, GenesisError) as error:
            return Verdict(False, BUILT_PROJECT, str(error))
        return Verdict(True, BUILT_PROJECT, reason)

    return {BUILT_PROJECT: built_project}


async def _prove(submission: Submission, confined: bool) -> str:
    project = _folder(submission)
    files = await asyncio.to_thread(read_project, project)
    _require_source(submission, project, files)
    _require_listed(submission.output, project, files)
    trees = {path: _parsed(path, text) for path, text in files.items() if path.suffix == ".py"}
    _require_tests_use_code(trees)
    _require_topic(submission, trees)
    limit = time_limit_s(submission.task.timeout_s, RUN_TIMEOUT_S) / _RUNS
    run = partial(run_project, confined=confined, timeout_s=limit)
    report = await run(files)
    require(
        report.ok,
        f"run afresh, {report.passed} tests pass, {report.failed} fail and {report.skipped} are "
        f"skipped: {one_line(report.output[-400:], 400)}",
    )
    depends = await _tests_depend_on_code(files, trees, run)
    return (
        f"{len(trees)} files compile; in a fresh copy {report.passed} tests pass{depends}; "
        "that the tests cover all of the request was not verified"
    )


async def _tests_depend_on_code(
    files: Mapping[PurePosixPath, str],
    trees: Mapping[PurePosixPath, ast.Module],
    run: Callable[[Mapping[PurePosixPath, str]], Awaitable[RunReport]],
) -> str:
    gutted = {path: _gutted(tree) for path, tree in trees.items() if is_source(path)}
    if all(text is None for text in gutted.values()):
        return " (there is no function that could be taken out)"
    changed = {path: text for path, text in gutted.items() if text is not None}
    report = await run({**files, **changed})
    require(
        not report.ok, "the tests pass even when every function of the code only raises an error"
    )
    return ", and fail when the code is taken out"


def _folder(submission: Submission) -> Path:
    value = submission.output.data.get("project")
    require(isinstance(value, str) and bool(value), "'project' is missing in the result")
    project = Path(str(value))
    try:
        real = project.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise Refuted(f"the project folder {project.name!r} does not exist") from None
    require(real.is_dir(), f"the project {project.name!r} is not a folder")
    inside = real.is_relative_to(submission.artifacts_dir.resolve())
    require(inside, f"the project {project.name!r} was not made in this run's artifacts")
    return real


def _require_source(
    submission: Submission, project: Path, files: Mapping[PurePosixPath, str]
) -> None:
    value = submission.output.data.get("source")
    require(isinstance(value, str) and bool(value), "'source' is missing in the result")
    source = Path(str(value)).resolve()
    require(source.is_relative_to(project), "'source' does not lie in the project")
    relative = PurePosixPath(source.relative_to(project).as_posix())
    code = [
        text
        for path, text in files.items()
        if is_source(path) and (path == relative or relative in path.parents)
    ]
    require(bool(code), f"{str(relative)!r} holds no Python code besides tests")
    require(any(text.strip() for text in code), f"{str(relative)!r} is empty")


def _require_listed(output: TaskOutput, project: Path, files: Mapping[PurePosixPath, str]) -> None:
    """What lies in the folder is what was handed in: nothing stale, nothing gone."""
    if not output.artifacts:
        return
    listed = {Path(path).resolve() for path in output.artifacts}
    filled = {project / path for path, text in files.items() if text}
    stale = sorted(path.name for path in filled - listed)
    require(not stale, f"{', '.join(stale)} in the project is not among the files handed in")
    gone = sorted(path.name for path in listed - filled)
    require(not gone, f"{', '.join(gone)} was handed in but is missing or empty in the project")


def _parsed(path: PurePosixPath, text: str) -> ast.Module:
    try:
        tree = ast.parse(text, str(path))
        compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Refuted(f"{str(path)!r} does not compile: {one_line(str(error))}") from None
    return tree


def _require_tests_use_code(trees: Mapping[PurePosixPath, ast.Module]) -> None:
    tests = [tree for path, tree in trees.items() if is_test(path)]
    require(bool(tests), "there are no tests")
    code = {path.parts[0].removesuffix(".py") for path in trees if is_source(path)}
    imported = {name for tree in tests for name in _imported(tree)}
    require(bool(code & imported), f"no test imports {' or '.join(sorted(code))}")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def _require_topic(submission: Submission, trees: Mapping[PurePosixPath, ast.Module]) -> None:
    code = [tree for path, tree in trees.items() if is_source(path)]
    public = [node for tree in code for node in _public(tree)]
    require(bool(public), "the code has no public function or class")
    words = topic_of(submission.task.description, submission.request)
    said = " ".join(f"{node.name} {ast.get_docstring(node) or ''}" for node in public)
    require(
        is_about(words, said),
        f"no public function or class says {', '.join(map(repr, missing_words(words, said)))}, "
        f"which the task asks for; there are {', '.join(sorted({n.name for n in public})[:10])}",
    )


def _public(tree: ast.Module) -> Iterator[_Definition]:
    def of(body: Iterable[ast.stmt]) -> Iterator[_Definition]:
        for node in body:
            if isinstance(node, _Definition) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from of(node.body)

    return of(tree.body)


class _Gut(ast.NodeTransformer):
    """Replaces the body of every function by an error."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = ast.parse("raise NotImplementedError").body
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        node.body = ast.parse("raise NotImplementedError").body
        return node


def _gutted(tree: ast.Module) -> str | None:
    """A module whose functions only raise an error; None when it has no function."""
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
        return None
    return ast.unparse(ast.fix_missing_locations(_Gut().visit(tree)))
