"""A connection to Redis or Valkey, for what lives there."""

from __future__ import annotations

import contextlib

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as exc:
    raise ImportError("worksection_async.redis needs redis: pip install worksection-async[redis]") from exc

Client = redis.Redis | redis.RedisCluster

ANSWER_TIMEOUT = 2.0
"""Seconds the server has to answer; it needs microseconds."""

SWAP = """
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
"""Compare and swap, with an expiry in seconds."""

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}


def connect(url_or_client: str | Client) -> Client:
    if isinstance(url_or_client, Client):
        return url_or_client
    if not isinstance(url_or_client, str):
        raise ValueError(f"a URL or a redis.Redis expected, not {type(url_or_client).__name__}")
    scheme, separator, rest = url_or_client.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"a URL that begins with one of {', '.join(SCHEMES)} expected")
    client = None
    with contextlib.suppress(ValueError):  # its text may show the password
        client = redis.Redis.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=ANSWER_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # who waits here would rather know
        )
    if client is None:
        raise ValueError("the URL of the server makes no sense; are special characters in the password encoded?")
    return client
