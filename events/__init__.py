"""What can happen: the facts, their envelope, and the contract other people's systems rely on (EVENTS.md)."""
