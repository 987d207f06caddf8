"""Makes this folder importable for what tests share, and offers the fixtures used across it."""

from loopback import serve
from postgres_server import own_server, postgres_server, postgres_url

import infrastructure as _first  # sets LangGraph's strict mode before any test imports it

__all__ = ["own_server", "postgres_server", "postgres_url", "serve"]

del _first
