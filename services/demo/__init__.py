"""A small French hospital that never was: eight weeks of contacts, made from a seed."""
