"""Decides what of the parsed modules is public, and lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from genesis.agents.documenter.model import STAR, Definition, Parsed
from genesis.agents.documenter.modules import ModuleFile
from genesis.agents.documenter.report import (
    ClassDoc,
    Counts,
    FunctionDoc,
    ModuleDoc,
    Undocumented,
    percent_documented,
)


def public_modules(
    parsed: Mapping[str, tuple[ModuleFile, Parsed]], source: Path
) -> list[ModuleDoc]:
    """The public part of every module that has one.

    A single file given by name is documented even if its name is private.
    """
    wanted = _reexports(parsed)
    if len(parsed) == 1 and source.is_file():
        wanted = {name: frozenset({"*"}) for name in parsed}
    documented: list[ModuleDoc] = []
    for name, (module, content) in parsed.items():
        names = _public_names(module, content, wanted[name])
        if names or not module.is_private:
            documented.append(_document(module, content, names, source))
    return documented


def _public_names(module: ModuleFile, parsed: Parsed, reexported: frozenset[str]) -> frozenset[str]:
    """The names that a module offers.

    A module offers what `__all__` lists, else what has no leading underscore. A private module
    offers only what public ones re-export from it ("*": all that it would offer itself).
    """
    defined = {item.name for item in parsed.definitions}
    if parsed.exported is None:
        offered = {name for name in defined if not name.startswith("_")}
    else:
        offered = defined & parsed.exported
    if not module.is_private:
        return frozenset(offered | (defined & (reexported - {STAR})))
    return frozenset((offered if STAR in reexported else set[str]()) | (defined & reexported))


def _reexports(modules: Mapping[str, tuple[ModuleFile, Parsed]]) -> dict[str, frozenset[str]]:
    """For each module, the names that public modules re-export from it.

    A module re-exports what it imports and lists in `__all__`; a package without `__all__`, all
    public names that it imports. Chains through private modules are followed.
    """
    found: dict[str, set[str]] = {name: set() for name in modules}
    waiting = [name for name, (module, _) in modules.items() if not module.is_private]
    while waiting:
        module, parsed = modules[waiting.pop()]
        for target, name in _offered_imports(module, parsed, found[module.name]):
            if target in modules and name not in found[target]:
                found[target].add(name)
                waiting.append(target)
    return {name: frozenset(names) for name, names in found.items()}


def _offered_imports(
    module: ModuleFile, parsed: Parsed, wanted: set[str]
) -> Iterator[tuple[str, str]]:
    for item in parsed.imports:
        target = module.resolve(item.level, item.module)
        if item.name == STAR:
            if module.is_package or STAR in wanted:
                yield target, STAR
        elif _offers(module, parsed, item.alias, wanted):
            yield target, item.name


def _offers(module: ModuleFile, parsed: Parsed, name: str, wanted: set[str]) -> bool:
    if name in wanted:
        return True
    if module.is_private and STAR not in wanted:
        return False
    if parsed.exported is not None:
        return name in parsed.exported
    return module.is_package and not name.startswith("_")


def _document(module: ModuleFile, parsed: Parsed, names: frozenset[str], root: Path) -> ModuleDoc:
    """The public part of a module."""
    chosen = [item for item in parsed.definitions if item.name in names]
    path = module.path.relative_to(root) if module.path != root else Path(root.name)
    return ModuleDoc(
        name=module.name,
        path=path.as_posix(),
        doc=parsed.doc,
        classes=[doc for item in chosen if item.is_class for doc in _classes(item, item.name)],
        functions=[_function(item) for item in chosen if not item.is_class],
    )


def _classes(item: Definition, name: str) -> Iterator[ClassDoc]:
    visible = [member for member in item.members if not member.name.startswith("_")]
    methods = [_function(member) for member in visible if not member.is_class]
    yield ClassDoc(name=name, line=item.line, doc=item.doc, methods=methods)
    for member in visible:
        if member.is_class:
            yield from _classes(member, f"{name}.{member.name}")


def _function(item: Definition) -> FunctionDoc:
    return FunctionDoc(name=item.name, signature=item.signature, line=item.line, doc=item.doc)


def members_of(module: ModuleDoc) -> Iterator[tuple[str, int, str]]:
    """Name ("Class.method"), line and doc of all that should have a docstring, by line."""
    members = [(item.name, item.line, item.doc) for item in module.functions]
    for item in module.classes:
        members.append((item.name, item.line, item.doc))
        members += [(f"{item.name}.{m.name}", m.line, m.doc) for m in item.methods]
    yield from sorted(members, key=lambda member: (member[1], member[0]))


def undocumented_in(modules: list[ModuleDoc]) -> list[Undocumented]:
    return [
        Undocumented(module=module.name, name=name, line=line)
        for module in modules
        for name, line, doc in members_of(module)
        if not doc
    ]


def counts_of(modules: list[ModuleDoc]) -> Counts:
    """Sums over modules."""
    classes = sum(len(module.classes) for module in modules)
    functions = sum(len(module.functions) for module in modules)
    methods = sum(len(item.methods) for module in modules for item in module.classes)
    undocumented = len(undocumented_in(modules))
    return Counts(
        modules=len(modules),
        classes=classes,
        functions=functions,
        methods=methods,
        undocumented=undocumented,
        documented_percent=percent_documented(classes + functions + methods, undocumented),
    )
