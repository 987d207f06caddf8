"""The likely cause of an exception in words: from its type, its message and the source."""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genesis.agents.files import read_source
from infrastructure.errors import AgentError


@dataclass(frozen=True, slots=True)
class Scene:
    """What a rule looks at: the exception, the place, and the source file there if it parses."""

    exception: str
    message: str
    file: Path | None
    source_line: str
    tree: ast.Module | None


Explanation = tuple[str, str]


def explain(scene: Scene) -> Explanation:
    """Cause and suggestion, each a sentence or two; the cause names the exception."""
    name = scene.exception.rsplit(".", 1)[-1]
    rule = _RULES.get(name, _unknown)
    cause, suggestion = rule(scene)
    return f"{scene.exception}: {cause}", suggestion


def scene_of(exception: str, message: str, file: str, source_line: str) -> Scene:
    """The scene at a file that may be missing or may not parse."""
    path = Path(file) if file else None
    return Scene(exception, message, path, source_line, _parsed(path) if path else None)


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(read_source(path))
    except (AgentError, SyntaxError, ValueError, RecursionError):
        return None  # rules that need the source say less


def _quoted(message: str) -> list[str]:
    return re.findall(r"'([^']*)'", message)


def _name_error(scene: Scene) -> Explanation:
    missing = next(iter(_quoted(scene.message)), "?")
    known = sorted(set(_names(scene.tree)) - {missing})
    close = difflib.get_close_matches(missing, known, n=1)
    if close:
        return (
            f"the name {missing!r} is not defined here; {close[0]!r} is, and is spelt almost alike",
            f"write {close[0]!r} instead of {missing!r}",
        )
    if missing in sys.stdlib_module_names:
        return f"the module {missing!r} is used but not imported", f"add: import {missing}"
    return (
        f"the name {missing!r} is used before anything defines it",
        f"define {missing!r} before this line, import it, or pass it in",
    )


def _names(tree: ast.Module | None) -> Iterator[str]:
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]


def _key_error(scene: Scene) -> Explanation:
    wanted = scene.message.strip("'\"")
    keys = sorted(set(_dict_keys(scene)))
    cause = f"the mapping has no key {scene.message}"
    if not keys:
        return cause, "look the key up with .get(), or check that it is there first"
    close = difflib.get_close_matches(wanted, keys, n=1)
    return (
        f"{cause}; the keys written in the source are {', '.join(map(repr, keys[:12]))}",
        f"use {close[0]!r}" if close else "use one of these keys, or .get() with a default",
    )


def _dict_keys(scene: Scene) -> Iterator[str]:
    """Keys of the dict literals assigned to a name that the failing line subscripts."""
    used = set(re.findall(r"(\w+)\s*\[", scene.source_line))
    for node in ast.walk(scene.tree) if scene.tree else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id in used for target in targets):
                for key in node.value.keys:
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value


def _module_not_found(scene: Scene) -> Explanation:
    module = next(iter(_quoted(scene.message)), "?")
    folder = scene.file.parent if scene.file else None
    nearby = [path.stem for path in folder.glob("*.py")] if folder else []
    close = difflib.get_close_matches(module, nearby, n=1)
    if close:
        return (
            f"there is no module {module!r}, but beside the script lies {close[0]}.py",
            f"import {close[0]!r} instead",
        )
    return (
        f"the module {module!r} is neither installed for {Path(sys.executable).name}"
        " nor beside the script",
        f"install the package that provides {module!r}, or put its folder on PYTHONPATH",
    )


def _index_error(scene: Scene) -> Explanation:
    return (
        f"a position beyond the end was asked for ({scene.message}); the sequence is shorter than"
        " the code expects, or empty",
        "check its length first; an index runs from 0 to len - 1",
    )


def _zero_division(scene: Scene) -> Explanation:
    divisors = re.findall(r"(?://?|%)\s*([\w.]+(?:\([^()]*\))?)", scene.source_line)
    what = f"the divisor {divisors[0]!r}" if divisors else "the divisor"
    return f"{what} is zero here", f"handle the case in which {what} is zero before dividing"


def _type_error(scene: Scene) -> Explanation:
    message = scene.message
    if "NoneType" in message:
        return (
            f"a value is None where another type is needed ({message}); often a function that ends"
            " without return, or a lookup that found nothing",
            "find where the value is set, and handle or prevent None there",
        )
    if "positional argument" in message or "keyword argument" in message:
        return (
            f"a call does not fit the function's parameters ({message})",
            "compare the call with the function's signature",
        )
    if "unsupported operand" in message or "can only concatenate" in message:
        return (
            f"the operation mixes types that do not go together ({message})",
            "convert one side first, e.g. with int(), float() or str()",
        )
    return f"a value has the wrong type ({message})", "check the types of the values on this line"


def _attribute_error(scene: Scene) -> Explanation:
    message = scene.message
    if "NoneType" in message:
        return _type_error(scene)
    quoted = _quoted(message)
    if "partially initialized module" in message and quoted:
        return (
            f"the module {quoted[0]!r} imports itself in a circle, often because a file of yours"
            " has the name of the module meant",
            f"rename the file {quoted[0]}.py, or break the circle",
        )
    hint = re.search(r"Did you mean: '([^']+)'", message)
    return (
        f"the object has no such attribute ({message})",
        f"write {hint[1]!r}" if hint else "check the object's type and the attribute's spelling",
    )


def _file_not_found(scene: Scene) -> Explanation:
    path = next(iter(_quoted(scene.message)), "the file")
    return (
        f"{path!r} does not exist, seen from the folder that the script runs in",
        "check the name; build the path from Path(__file__).parent to be independent of the folder",
    )


def _value_error(scene: Scene) -> Explanation:
    message = scene.message
    if "unpack" in message:
        return (
            f"the number of values differs from the number of names ({message})",
            "make both sides equally long",
        )
    return (
        f"a value has the right type but cannot be used ({message})",
        "check or convert the value before this line",
    )


def _syntax_error(scene: Scene) -> Explanation:
    return (
        f"Python cannot parse the file here ({scene.message}); nothing of it was run",
        "correct this line or the one before it (a bracket, quote, colon or indentation)",
    )


def _end_of_input(_scene: Scene) -> Explanation:
    return (
        "it asked for input, and there is none: it was run without a terminal",
        "read from arguments or a file, or give the input on the command line",
    )


def _recursion_error(_scene: Scene) -> Explanation:
    return (
        "a function calls itself without reaching its end",
        "check the condition that ends the recursion, or write a loop",
    )


def _assertion_error(scene: Scene) -> Explanation:
    return (
        f"what the line asserts does not hold{': ' + scene.message if scene.message else ''}",
        "find out why the asserted condition is false for these values",
    )


def _unknown(scene: Scene) -> Explanation:
    return (
        f"raised at this line{': ' + scene.message if scene.message else ''}",
        "read the message and the line; handle the case before it, or catch the exception",
    )


_RULES: dict[str, Callable[[Scene], Explanation]] = {
    "NameError": _name_error,
    "UnboundLocalError": _name_error,
    "KeyError": _key_error,
    "ModuleNotFoundError": _module_not_found,
    "IndexError": _index_error,
    "ZeroDivisionError": _zero_division,
    "TypeError": _type_error,
    "AttributeError": _attribute_error,
    "FileNotFoundError": _file_not_found,
    "ValueError": _value_error,
    "SyntaxError": _syntax_error,
    "IndentationError": _syntax_error,
    "TabError": _syntax_error,
    "EOFError": _end_of_input,
    "RecursionError": _recursion_error,
    "AssertionError": _assertion_error,
}
