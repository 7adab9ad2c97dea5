"""One self-contained page for somebody who has only an export file."""
