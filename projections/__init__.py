"""What the facts look like: pure folds from facts to cases, claims and findings (DOMAIN.md)."""
