"""Which lines of a source file are statements: counted anew from its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEADERS = ("@", "def ", "async ", "class ")
_PRAGMA = re.compile(r"#\s*pragma: no cover")


@dataclass(frozen=True, slots=True)
class Statements:
    """Lines by what a coverage tool must, and may, count.

    Attributes:
        certain: first lines of statements that any tool counts.
        possible: these, and lines on which tools differ (docstrings, decorators, handlers,
            constant conditions, what a pragma excludes).
        first_line: for each line of a statement, the line that it begins on.
    """

    certain: frozenset[int]
    possible: frozenset[int]
    first_line: dict[int, int]

    def executed(self, lines: Iterable[int]) -> set[int]:
        """The statements, by first line, to which executed lines belong."""
        return {self.first_line.get(line, line) for line in lines}


def statements_of(source: str) -> Statements:
    """The statements of a module's source.

    Raises:
        SyntaxError: it cannot be parsed.
    """
    certain: set[int] = set()
    unsure: set[int] = set()
    first_line: dict[int, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            unsure.add(node.lineno)
        elif isinstance(node, ast.match_case):
            unsure.add(node.pattern.lineno)
        elif isinstance(node, ast.stmt):
            (unsure if _tools_differ(node) else certain).add(node.lineno)
            unsure.update(decorator.lineno for decorator in _decorators(node))
            unsure.update(_dead_lines(node))
            for line in _own_lines(node):
                first_line[line] = node.lineno
    excluded = _excluded(source.splitlines())
    unsure |= excluded | {first_line[line] for line in excluded if line in first_line}
    return Statements(
        certain=frozenset(certain - unsure),
        possible=frozenset(certain | unsure),
        first_line=first_line,
    )


def _decorators(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.decorator_list
    return []


def _tools_differ(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Global | ast.Nonlocal | ast.Try) or bool(_decorators(node))


def _dead_lines(node: ast.stmt) -> Iterator[int]:
    """A condition that the compiler decides leaves some of the lines below it without code."""
    if isinstance(node, ast.If | ast.While) and _is_constant(node.test):
        yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _is_constant(test: ast.expr) -> bool:
    if isinstance(test, ast.UnaryOp):
        return _is_constant(test.operand)
    return isinstance(test, ast.Constant) or (isinstance(test, ast.Name) and test.id == "__debug__")


def _own_lines(node: ast.stmt) -> range:
    """The lines of a simple statement, or those of a compound one before its body."""
    body: list[ast.stmt] = getattr(node, "body", [])
    end = node.end_lineno or node.lineno
    if body:
        first = min([body[0].lineno, *(d.lineno for d in _decorators(body[0]))])
        end = max(first - 1, node.lineno)
    return range(node.lineno, end + 1)


def _excluded(lines: list[str]) -> set[int]:
    """A pragma's line, the rest of a header that it opens, and what is indented below."""
    found: set[int] = set()
    for number in (n for n, line in enumerate(lines, 1) if _PRAGMA.search(line)):
        indent = _indent(lines[number - 1])
        in_header = _code(lines[number - 1]).startswith(_HEADERS) and not _ends_header(
            lines[number - 1]
        )
        found.add(number)
        for later in range(number + 1, len(lines) + 1):
            text = lines[later - 1]
            if in_header:
                in_header = not _ends_header(text)
            elif text.strip() and _indent(text) <= indent:
                break
            found.add(later)
    return found


def _code(line: str) -> str:
    return line.split("#", 1)[0].strip()


def _ends_header(line: str) -> bool:
    return _code(line).endswith(":")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
