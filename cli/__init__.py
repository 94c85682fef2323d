"""The `cronkeeper` command: people's client, and the entry point of every daemon."""
