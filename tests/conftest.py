"""Makes this folder importable for what tests share, and offers the fixtures used across it."""

from loopback import serve

__all__ = ["serve"]
