"""How Parcours is run: embedded, with compose, on Kubernetes; and the SQL of its tables."""
