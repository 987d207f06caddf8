"""What Genesis stands on: memory, models, protocols, resilience. Knows nothing of `genesis`."""
