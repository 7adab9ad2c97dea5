"""The process that turns the log into tables. DESIGN section 4."""
