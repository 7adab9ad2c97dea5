"""What the facts look like: pure folds from facts to cases, claims and findings (DOMAIN.md)."""

from events.native import before

__path__ = before("projections", __path__)
