"""From what is to be said to those who listen."""
