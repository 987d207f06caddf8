"""The API as a Markdown document."""

from __future__ import annotations

from collections.abc import Iterator

from genesis.agents.documenter.report import ApiDocs, FunctionDoc, ModuleDoc


def render(docs: ApiDocs, title: str) -> str:
    """The whole document: modules, what lacks a docstring, what could not be read."""
    counts = docs.counts
    lines = [
        f"# API of {title}",
        "",
        f"{counts.modules} modules, {counts.classes} classes, {counts.functions} functions,"
        f" {counts.methods} methods; {counts.documented_percent:g} % have a docstring.",
    ]
    for module in docs.modules:
        lines += ["", *_module(module)]
    if docs.undocumented:
        lines += ["", "## Without a docstring", ""]
        lines += [f"- `{item.module}.{item.name}` (line {item.line})" for item in docs.undocumented]
    if docs.unreadable:
        lines += ["", "## Could not be read", ""]
        lines += [f"- `{item.path}`: {item.problem}" for item in docs.unreadable]
    return "\n".join(lines) + "\n"


def _module(module: ModuleDoc) -> Iterator[str]:
    yield f"## `{module.name}`"
    yield ""
    yield f"{module.doc} (`{module.path}`)".strip()
    for item in module.classes:
        yield from ("", f"### class `{item.name}` (line {item.line})", "")
        yield item.doc or "*No docstring.*"
        if item.methods:
            yield ""
        yield from (_bullet(method) for method in item.methods)
    if module.functions:
        yield from ("", "### Functions", "")
        yield from (_bullet(function) for function in module.functions)


def _bullet(function: FunctionDoc) -> str:
    return f"- `{function.signature}` (line {function.line}): {function.doc or '*No docstring.*'}"
