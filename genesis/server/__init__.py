"""`genesis serve`: runs over HTTP, A2A and MCP from one process."""
