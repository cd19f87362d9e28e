"""What touches the outside: HTTP, Redis, ASGI, background tasks and forks, and the rules for another attempt."""
