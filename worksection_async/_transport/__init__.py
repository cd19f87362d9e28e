"""I/O below the session: HTTP, Redis, ASGI, background tasks and forks; and the pure rules for retries."""
