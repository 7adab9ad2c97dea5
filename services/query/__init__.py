"""What programs and consoles read, and what people do with alerts: the API under /v1."""
