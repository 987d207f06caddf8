"""The data analyst agent."""
