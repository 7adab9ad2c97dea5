"""The real Kafka and the real PostgreSQL in a folder, without Docker, root or an installed Java."""
