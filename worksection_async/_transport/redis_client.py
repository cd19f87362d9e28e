"""Clients for Redis and Valkey."""

from __future__ import annotations

import contextlib
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._protocol.values import type_of
from ..errors import InvalidCall

Client = redis.Redis | redis.RedisCluster

REPLY_TIMEOUT_SECONDS = 2.0
"""Timeout of a command; a command takes microseconds."""

READ = """
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]) or '', time[1], time[2]}
"""
"""Read a value and the time of the server; `value_and_time` interprets the answer."""

SWAP = """
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
"""Compare and swap, with an expiry in seconds."""

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""Delete a lock if it has this holder."""

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}


def connect(url_or_client: str | Client) -> Client:
    """Return a client for the URL of a server, or the given client; it connects with its first command."""
    if isinstance(url_or_client, Client):
        return url_or_client
    if not isinstance(url_or_client, str):
        raise InvalidCall("redis", f"a URL or a redis.Redis expected, not {type_of(url_or_client)}")
    scheme, separator, rest = url_or_client.partition("://")
    if not separator or scheme not in SCHEMES:
        raise InvalidCall("redis", f"a URL that begins with one of {', '.join(SCHEMES)} expected")
    client = None
    with contextlib.suppress(ValueError):  # the text of the error may contain the password
        client = redis.Redis.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            socket_timeout=REPLY_TIMEOUT_SECONDS,
            socket_connect_timeout=REPLY_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the outage handling decides about retries
        )
    if client is None:
        problem = "the URL of the server is invalid; are special characters in the password percent-encoded?"
        raise InvalidCall("redis", problem)
    return client


def value_and_time(answer: Any) -> tuple[bytes, float]:
    """Return the value (empty if there is none) and the time of the server, in seconds, of an answer to `READ`."""
    value, seconds, microseconds = answer
    return value.encode() if isinstance(value, str) else value, int(seconds) + int(microseconds) / 1e6


def checked_key(key: str, owner: str) -> str:
    """Return *key*; raises `InvalidCall` if it is empty or has braces, which derived keys need for a cluster.

    Args:
        key: The argument.
        owner: Name of the class that got it, for the error.
    """
    if not isinstance(key, str) or not key or "{" in key or "}" in key:
        raise InvalidCall(owner, f"key must be a name without braces, not {key!r}")
    return key
