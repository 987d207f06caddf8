"""Reads a module's definitions with `ast`; nothing of it is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from genesis.agents.documenter.model import Definition, Import, Parsed, first_paragraph

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_MAX_DEFAULT = 60


def parse_module(source: str) -> Parsed:
    """The definitions at a module's top, also those within `if`, `try` and `with` there.

    Raises:
        SyntaxError, ValueError, RecursionError: the source cannot be parsed.
    """
    tree = ast.parse(source)
    statements = list(_flat(tree.body))
    return Parsed(
        doc=_doc(tree),
        definitions=_definitions(statements),
        imports=tuple(_imports(statements)),
        exported=_exported(statements),
    )


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements in order, those within blocks that are neither class nor function too."""
    for node in body:
        yield node
        if isinstance(node, _Function | ast.ClassDef):
            continue
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            for inner in getattr(node, name, []):
                inner_body: list[ast.stmt] = getattr(inner, "body", [])
                if isinstance(inner, ast.stmt):
                    yield from _flat([inner])
                else:
                    yield from _flat(inner_body)


def _definitions(statements: Sequence[ast.stmt]) -> tuple[Definition, ...]:
    """One definition a name: the implementation of overloads, the getter of a property."""
    found: dict[str, Definition] = {}
    for node in statements:
        if isinstance(node, _Function | ast.ClassDef):
            overloaded = _decorated(node, "overload")
            accessor = any(_decorated(node, name) for name in ("setter", "deleter", "getter"))
            if not overloaded and not accessor and node.name not in found:
                found[node.name] = _definition(node)
    for node in statements:  # a stub may hold overloads only
        if isinstance(node, _Function) and node.name not in found:
            found[node.name] = _definition(node)
    return tuple(sorted(found.values(), key=lambda item: item.line))


def _definition(node: _Function | ast.ClassDef) -> Definition:
    if isinstance(node, ast.ClassDef):
        members = _definitions(list(_flat(node.body)))
        return Definition(node.name, node.lineno, _doc(node), is_class=True, members=members)
    return Definition(node.name, node.lineno, _doc(node), _signature(node))


def _decorated(node: _Function | ast.ClassDef, name: str) -> bool:
    for decorator in node.decorator_list:
        last = decorator.attr if isinstance(decorator, ast.Attribute) else decorator
        if name == (last.id if isinstance(last, ast.Name) else last):
            return True
    return False


def _doc(node: ast.Module | ast.ClassDef | _Function) -> str:
    text = ast.get_docstring(node, clean=False)
    return first_paragraph(text) if text else ""


def _signature(node: _Function) -> str:
    arguments = node.args
    for defaults in (arguments.defaults, arguments.kw_defaults):
        for index, default in enumerate(defaults):
            if default is not None and len(ast.unparse(default)) > _MAX_DEFAULT:
                defaults[index] = ast.Constant(...)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{node.name}({ast.unparse(arguments)}){returns}"


def _imports(statements: Sequence[ast.stmt]) -> Iterator[Import]:
    for node in statements:
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield Import(node.level, node.module or "", name.name, name.asname or name.name)


def _exported(statements: Sequence[ast.stmt]) -> frozenset[str] | None:
    """The strings of `__all__`: assigned, annotated, added with += or extend."""
    found: set[str] | None = None
    for node in statements:
        if _concerns_all(node):
            found = found or set()
            found.update(
                item.value
                for item in ast.walk(node)
                if isinstance(item, ast.Constant) and isinstance(item.value, str)
            )
    return frozenset(found) if found else None


def _concerns_all(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        targets = [function.value] if isinstance(function, ast.Attribute) else []
    else:
        return False
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
