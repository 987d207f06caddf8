"""Genesis: a multi-agent orchestrator that learns."""
