"""Files that an answer names by URL: fetched from the agent's own origin or an allowed one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import httpx

from infrastructure.a2a.remote_errors import as_ours
from infrastructure.a2a.remote_link import Target
from infrastructure.a2a.types import Artifact, Part
from infrastructure.errors import AgentError, InputError
from infrastructure.net.addresses import Origin, origin_of
from infrastructure.net.http import Limits

log = logging.getLogger("genesis.a2a")

MAX_FETCHED_BYTES = 16 * 1024 * 1024
_MAX_FETCHED_FILES = 100


@dataclass(slots=True)
class Fetched:
    """Parts with their files, and why others were left where they are."""

    parts: tuple[Part, ...]
    refused: list[str]


def file_places(target: Target, origins: Sequence[str] = ()) -> Mapping[Origin, Target]:
    """Where an agent's files may come from.

    Args:
        target: the agent; files at its origin are asked for with its token.
        origins: other origins, as URLs; they never see the token.

    Raises:
        InputError: an origin is no http or https URL.
    """
    others = {origin_of(url): Target(url, timeout_s=target.timeout_s) for url in origins}
    return {**others, origin_of(target.url): target}


class FileFetcher:
    """Fetches the files of one task's answer, at most 100 and 16 MiB in all.

    Args:
        places: from `file_places`.
    """

    def __init__(self, places: Mapping[Origin, Target]) -> None:
        self._places = places
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._bytes_left = MAX_FETCHED_BYTES
        self._files_left = _MAX_FETCHED_FILES

    async def fetch(self, parts: tuple[Part, ...]) -> Fetched:
        """The parts, those by URL turned into bytes where their origin allows it."""
        if all(part.url is None for part in parts):
            return Fetched(parts, [])
        refused: list[str] = []
        fetched: list[Part] = []
        for part in parts:
            if part.url is None:
                fetched.append(part)
                continue
            try:
                fetched.append(await self._with_bytes(part, part.url))
            except AgentError as error:
                refused.append(str(error))
                fetched.append(part)
        return Fetched(tuple(fetched), refused)

    async def fetch_artifact(self, artifact: Artifact) -> tuple[Artifact, list[str]]:
        """`fetch` for an artifact."""
        got = await self.fetch(artifact.parts)
        return (artifact if got.parts is artifact.parts else replace(artifact, parts=got.parts)), (
            got.refused
        )

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, target: Target) -> httpx.AsyncClient:
        client = self._clients.get(target.url)
        if client is None:
            limits = Limits(response_bytes=MAX_FETCHED_BYTES, json_values=None)
            client = self._clients[target.url] = replace(target, limits=limits).http()
        return client

    async def _with_bytes(self, part: Part, url: str) -> Part:
        try:
            target = self._places.get(origin_of(url))
        except InputError as error:
            raise AgentError(f"a file was not fetched: {error}") from error
        shown = repr(url[:200])
        if target is None:
            raise AgentError(
                f"the file at {shown} was not fetched: it is not at the agent's own origin; "
                "allow_files_from= allows others"
            )
        if self._files_left <= 0 or self._bytes_left <= 0:
            raise AgentError(f"the file at {shown} was not fetched: there are too many files")
        self._files_left -= 1
        try:
            response = await self._client(target).get(url)
            response.raise_for_status()
        except (httpx.HTTPError, AgentError) as error:
            raise AgentError(
                f"the file at {shown} was not fetched: {as_ours(error, url)}"
            ) from error
        self._bytes_left -= len(response.content)
        if self._bytes_left < 0:
            raise AgentError(f"the file at {shown} was not kept: the files are too large together")
        name = part.filename or httpx.URL(url).path.rsplit("/", 1)[-1]
        kind = part.media_type or response.headers.get("content-type", "").partition(";")[0]
        return Part(raw=response.content, media_type=kind[:100], filename=name[:200])
