"""Where an MCP server is: a command to start, or a URL."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.errors import InputError
from infrastructure.net.http import origin_of


@dataclass(frozen=True, slots=True)
class McpServer:
    """Where an MCP server is: a command to start, or a URL.

    Attributes:
        command: program and arguments of a server that speaks MCP on stdin and stdout. It is
            started with a minimal environment (PATH, HOME and the like), in a process group of
            its own, and ended with the connection.
        url: of a server that speaks streamable HTTP.
        token: bearer token for the URL.
        environment: variables that the command gets besides.
        cwd: folder that the command runs in; this process's unless given.
        allow_private: whether the URL may lead to this machine or a private network.
        timeout_s: seconds that one call may take.

    Raises:
        InputError: neither or both of command and url are given, or one is of no use.
    """

    command: Sequence[str] = ()
    url: str = ""
    token: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: Path | None = None
    allow_private: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise InputError("an MCP server is a command or a URL: give one of both")
        if isinstance(self.command, str):
            raise InputError("command must be a list: program, then its arguments")
        if self.url:
            origin_of(self.url)
        if not 0 < self.timeout_s < float("inf"):
            raise InputError("timeout_s must be a number of seconds above 0")

    def __str__(self) -> str:
        # No other arguments: they may hold secrets.
        shown = [word for word in self.command[:2] if not word.startswith("-")]
        return self.url or " ".join(os.path.basename(word) for word in shown)  # noqa: PTH119 - of any text
