"""Reads a module's definitions from its tokens: a second way to the same facts, without `ast`.

Tokens are grouped into statements with their depth of indentation. A `def` or `class` owns the
deeper statements that follow; every other block is looked through.
"""

from __future__ import annotations

import io
import tokenize
from ast import literal_eval
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tokenize import TokenInfo

from genesis.agents.documenter.model import Definition, Import, Parsed, first_paragraph

_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_OPENING, _CLOSING = set("([{"), set(")]}")
_ACCESSORS = {"setter", "deleter", "getter"}


@dataclass(frozen=True, slots=True)
class _Statement:
    depth: int
    tokens: tuple[TokenInfo, ...]

    def starts(self, *words: str) -> bool:
        return tuple(token.string for token in self.tokens[: len(words)]) == words


def scan_module(source: str) -> Parsed:
    """The definitions of a module.

    Raises:
        tokenize.TokenError, IndentationError: the source has no valid tokens.
    """
    statements = list(_statements(source))
    exported = {name for statement in statements for name in _listed(statement)}
    return Parsed(
        doc=_docstring(statements[0].tokens) if statements else "",
        definitions=_definitions(statements),
        imports=tuple(
            item for statement in _outside_functions(statements) for item in _imports(statement)
        ),
        exported=frozenset(exported) or None,
    )


def canonical_signature(signature: str) -> str:
    """A signature's tokens without layout: parentheses, commas, quotes and ways to write numbers.

    Raises:
        tokenize.TokenError, IndentationError: the text has no valid tokens.
    """
    statements = list(_statements(signature))
    return _canonical(statements[0].tokens) if statements else ""


def _statements(source: str) -> Iterator[_Statement]:
    depth, brackets = 0, 0
    current: list[TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.NEWLINE or (token.string == ";" and not brackets):
            if current:
                yield _Statement(depth, tuple(current))
            current = []
        elif token.type not in _SKIPPED:
            brackets += (token.string in _OPENING) - (token.string in _CLOSING)
            current.append(token)
    if current:
        yield _Statement(depth, tuple(current))


def _definitions(statements: Sequence[_Statement]) -> tuple[Definition, ...]:
    """One definition a name, as readers of the API meet it: no overloads, no setters."""
    plain: dict[str, Definition] = {}
    others: dict[str, Definition] = {}
    decorators: set[str] = set()
    index = 0
    while index < len(statements):
        statement = statements[index]
        index += 1
        if statement.starts("@"):
            decorators.add(_decorator(statement))
            continue
        if _is_definition(statement):
            end = _end_of_block(statements, index, statement.depth)
            item = _definition(statement, statements[index:end])
            hidden = decorators & {"overload", *_ACCESSORS}
            (others if hidden else plain).setdefault(item.name, item)
            index = end
        decorators = set()
    only_others = {name: item for name, item in others.items() if not item.is_class}
    return tuple(sorted({**only_others, **plain}.values(), key=lambda item: item.line))


def _is_definition(statement: _Statement) -> bool:
    return any(statement.starts(*words) for words in (("def",), ("class",), ("async", "def")))


def _end_of_block(statements: Sequence[_Statement], start: int, depth: int) -> int:
    end = start
    while end < len(statements) and statements[end].depth > depth:
        end += 1
    return end


def _definition(header: _Statement, body: Sequence[_Statement]) -> Definition:
    tokens = header.tokens
    colon = _colon(tokens)
    inline = tokens[colon + 1 :]
    doc = _docstring(inline) if inline else _docstring(body[0].tokens) if body else ""
    is_class = header.starts("class")
    name = tokens[2 if header.starts("async") else 1].string
    signature = tuple(token for token in tokens[:colon] if token.string != "def")
    return Definition(
        name=name,
        line=tokens[0].start[0],
        doc=doc,
        signature="" if is_class else _canonical(signature),
        is_class=is_class,
        members=_definitions(body) if is_class else (),
    )


def _colon(tokens: Sequence[TokenInfo]) -> int:
    """Index of the colon that ends a header."""
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.string in _OPENING) - (token.string in _CLOSING)
        if token.string == ":" and depth == 0:
            return index
    return len(tokens)


def _docstring(tokens: Sequence[TokenInfo]) -> str:
    """The first paragraph, if the statement is nothing but plain strings."""
    text = ""
    for token in tokens:
        prefix = token.string[: min(token.string.find(q) % 99 for q in "'\"")].lower()
        if token.type != tokenize.STRING or "b" in prefix or "f" in prefix:
            return ""
        text += str(literal_eval(token.string))
    return first_paragraph(text) if text else ""


def _decorator(statement: _Statement) -> str:
    """The last part of a decorator's dotted name."""
    name = ""
    for token in statement.tokens[1:]:
        if token.string == "(":
            break
        if token.type == tokenize.NAME:
            name = token.string
    return name


def _outside_functions(statements: Sequence[_Statement]) -> Iterator[_Statement]:
    """Statements that run when the module is imported, those of class bodies left out too."""
    index = 0
    while index < len(statements):
        statement = statements[index]
        index += 1
        if _is_definition(statement):
            index = _end_of_block(statements, index, statement.depth)
        else:
            yield statement


def _imports(statement: _Statement) -> Iterator[Import]:
    if not statement.starts("from"):
        return
    words = [token.string for token in statement.tokens[1:] if token.string not in "()"]
    if "import" not in words:
        return
    split = words.index("import")
    module = "".join(words[:split])
    level = len(module) - len(module.lstrip("."))
    names = " ".join(words[split + 1 :]).split(",")
    for name, *alias in (item.split() for item in names if item.strip()):
        yield Import(level, module.lstrip("."), name, alias[-1] if alias else name)


def _listed(statement: _Statement) -> Iterator[str]:
    """The strings of a statement at the module's top that sets or extends `__all__`."""
    follows = [token.string for token in statement.tokens[1:2]]
    if statement.starts("__all__") and follows and follows[0] in {"=", "+=", ":", "."}:
        for token in statement.tokens:
            if token.type == tokenize.STRING:
                yield str(literal_eval(token.string))


def _canonical(tokens: Sequence[TokenInfo]) -> str:
    words: list[str] = []
    text = ""
    for token in tokens:
        if token.type == tokenize.STRING and token.string[-1:] in "'\"":
            text += token.string + " "
            continue
        if text:
            words.append(_literal(text))
            text = ""
        if token.type == tokenize.NUMBER:
            words.append(_literal(token.string))
        elif token.string not in {"(", ")", ","}:
            words.append(token.string)
    return " ".join([*words, _literal(text)] if text else words)


def _literal(text: str) -> str:
    """A literal's value; what is none (an f-string) as it stands."""
    try:
        return repr(literal_eval(text.strip()))
    except (ValueError, SyntaxError):
        return text.strip()
