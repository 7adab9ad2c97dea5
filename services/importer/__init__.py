"""Event logs as other programs export them, turned into facts."""
