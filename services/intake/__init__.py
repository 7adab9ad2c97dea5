"""The HTTP door for facts. EVENTS section 1."""
