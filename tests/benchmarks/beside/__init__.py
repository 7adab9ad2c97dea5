"""Parcours beside other ways to keep a durable projection of one topic: `make beside`."""
