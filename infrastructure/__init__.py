"""What Genesis stands on: memory, models, protocols, resilience. Knows nothing of `genesis`."""

import os

# Read by LangGraph when it is imported: without it, a crafted blob in a database runs code on load.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
