"""`genesis doctor` and `genesis path`: what this machine lacks, and where things lie."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from genesis.cli.common import FAILED, cli_settings, print_json, run_async
from genesis.cli.render import consoles
from genesis.planning.template import TemplateBook
from genesis.routing.rules import RuleBook
from genesis.tasks.infer import TaskTypeInferrer
from genesis.tasks.infer_keywords import KeywordInferrer
from infrastructure.config import FeatureFlags, Settings, load_flags, load_settings, read_config
from infrastructure.errors import GenesisError
from infrastructure.models.chat import ChatModels
from infrastructure.models.prices import Prices

# What each optional package gives, and the extra that installs it.
_EXTRAS = {
    "duckdb": ("the data analyst", "agents"),
    "matplotlib": ("charts", "agents"),
    "pytest": ("the tester", "agents"),
    "coverage": ("line coverage", "agents"),
    "ruff": ("the debugger's findings", "agents"),
    "mcp": ("memory and tools over MCP", "mcp"),
    "uvicorn": ("serving agents over HTTP", "serve"),
    "grpc": ("A2A over gRPC", "a2a"),
    "jwt": ("signed A2A cards", "a2a"),
    "torch": ("training the memory policy", "train"),
}

# Every configuration file, and what reads and checks it.
_FILES: Final[Mapping[str, Callable[[], object]]] = {
    "settings.yaml": load_settings,
    "feature_flags.json": load_flags,
    "plan_templates.yaml": TemplateBook.load,
    "routing_rules.yaml": RuleBook.load,
    "task_types.yaml": KeywordInferrer,
    "task_examples.yaml": TaskTypeInferrer,  # reads the task types as well
    "prices.yaml": Prices.read,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: "ok", "warning" or "error", and what to do about it."""

    subject: str
    state: str
    detail: str
    remedy: str = ""


def doctor_command(*, as_json: bool) -> None:
    """Print every finding; leave with 1 when one is an error."""
    findings = run_async(_examine(), as_json=as_json)
    if as_json:
        print_json({"findings": findings})
    else:
        consoles()[0].print(_table(findings), soft_wrap=False)
    if any(finding.state == "error" for finding in findings):
        raise SystemExit(FAILED)


async def _examine() -> list[Finding]:
    findings = [Finding("python", "ok", platform.python_version()), *_files()]
    try:
        settings = cli_settings()
        flags = load_flags()
    except GenesisError:  # said of its file
        return findings
    findings += [_settings(settings), *_unknown_variables()]
    findings.append(Finding("flags", "ok", ", ".join(f"{k}={v}" for k, v in flags)))
    findings += [_folder("data folder", settings.data_dir), await _store(settings)]
    findings += [_memory_policy(settings, flags)]
    findings += [_sqlite(), _model(settings), await _sandbox(settings), *_packages()]
    return findings


def _files() -> Iterator[Finding]:
    said: set[str] = set()
    for name, check in _FILES.items():
        try:
            check()
            yield Finding(name, "ok", read_config(name).source)
        except GenesisError as error:
            if str(error) not in said:
                yield Finding(name, "error", str(error), "correct this value")
            said.add(str(error))


def _settings(settings: Settings) -> Finding:
    # The store has a finding of its own, which leaves out the password that a URL may have.
    changed = {k: v for k, v in settings if v != getattr(Settings(), k) and k != "db_path"}
    text = ", ".join(f"{name}={value}" for name, value in changed.items())
    return Finding("settings", "ok", text or "all at their defaults")


def _unknown_variables() -> Iterator[Finding]:
    """Variables that look like settings and are none: a misspelt limit limits nothing."""
    known = {f"GENESIS_{name.upper()}" for name in Settings.model_fields} | {"GENESIS_CONFIG_DIR"}
    for name in sorted(set(os.environ) - known):
        if name.startswith("GENESIS_"):
            nearest = get_close_matches(name, known, 1)
            remedy = f"did you mean {nearest[0]}?" if nearest else "remove it"
            yield Finding(name, "warning", "is no setting and has no effect", remedy)


def _folder(subject: str, folder: Path) -> Finding:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        remedy = "choose another with GENESIS_DATA_DIR"
        return Finding(subject, "error", f"{folder} cannot be written", remedy)
    return Finding(subject, "ok", str(folder))


async def _store(settings: Settings) -> Finding:
    from infrastructure.memory.memori.engine import Memori, shown_place

    try:
        place = shown_place(settings.db_path)
        if Path(place).is_absolute() and not Path(place).exists():
            return Finding("memory store", "ok", f"{place} (made at the first run)")
        memori = Memori.open(settings.db_path, tenant=settings.tenant)
        try:
            await memori.read(lambda tx: tx.execute("SELECT 1").fetchone())
        finally:
            await memori.aclose()
    except GenesisError as error:
        return Finding("memory store", "error", str(error), "choose another with MEMORI_DB_PATH")
    return Finding("memory store", "ok", place)


def _memory_policy(settings: Settings, flags: FeatureFlags) -> Finding:
    from infrastructure.embeddings.builtin import BuiltinEmbedder
    from infrastructure.memory.agemem.deciders import decider_for
    from infrastructure.memory.agemem.policy import NumpyPolicy

    decider, why = decider_for(flags.agemem_policy, BuiltinEmbedder(), settings.memory_policy)
    if isinstance(decider, NumpyPolicy) or not flags.agemem_policy:
        return Finding("memory policy", "ok", f"{decider.name}: {why}")
    said = f"heuristics ({decider.name}) decide instead: {why}"
    remedy = "choose another with GENESIS_MEMORY_POLICY, or set AGEMEM_POLICY=false"
    return Finding("memory policy", "warning", said, remedy)


def _sqlite() -> Finding:
    from infrastructure.memory.memori.sqlite import SAFE_WITH_SEVERAL_PROCESSES, VERSION

    version, safe = (".".join(map(str, v)) for v in (VERSION, SAFE_WITH_SEVERAL_PROCESSES))
    if VERSION < SAFE_WITH_SEVERAL_PROCESSES:
        return Finding(
            "sqlite",
            "warning",
            f"{version}: fine for one process at a time",
            f"let several processes share one file only with SQLite {safe} or newer",
        )
    return Finding("sqlite", "ok", version)


def _model(settings: Settings) -> Finding:
    models = ChatModels(settings.models)
    try:
        for name in models.names:
            models.get(name)
    except GenesisError as error:
        return Finding("chat model", "error", str(error), "correct GENESIS_MODEL, or unset it")
    if models.configured:
        return Finding("chat model", "ok", ", ".join(models.names))
    return Finding(
        "chat model",
        "warning",
        "none: builder, writer and generalist cannot work",
        "set GENESIS_MODEL=provider:name",
    )


async def _sandbox(settings: Settings) -> Finding:
    """Whether a program can be confined here: tried, not guessed."""
    from infrastructure.sandbox.runner import why_unavailable

    problem = await why_unavailable()
    if not problem:
        return Finding("sandbox", "ok", f"bubblewrap; the setting sandbox is {settings.sandbox!r}")
    detail = f"code of models and of remote callers cannot run: {problem}"
    return Finding("sandbox", "warning", detail, "install what it names; see docs/sandbox.md")


def _packages() -> Iterator[Finding]:
    for package, (what, extra) in _EXTRAS.items():
        if find_spec(package) is None:
            remedy = f"pip install 'genesis-orchestrator[{extra}]'"
            yield Finding(package, "warning", f"missing: {what} cannot work", remedy)
        else:
            yield Finding(package, "ok", what)


def _table(findings: list[Finding]) -> Table:
    glyphs = {"ok": "✓ ok", "warning": "! warning", "error": "✗ error"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for wraps in (False, False, True):
        table.add_column(no_wrap=not wraps, overflow="fold")  # a path is of use when it is whole
    for finding in findings:
        remedy = f"\n→ {finding.remedy}" if finding.remedy else ""
        table.add_row(glyphs[finding.state], finding.subject, Text(finding.detail + remedy))
    return table


def path_command(*, as_json: bool) -> None:
    """Print where the memory store lies."""

    async def look() -> str:
        from infrastructure.memory.memori.engine import shown_place

        return shown_place(cli_settings().db_path)

    found = run_async(look(), as_json=as_json)
    if as_json:
        print_json({"db_path": found})
    else:
        sys.stdout.write(found + "\n")
