"""What machines share through a Redis or Valkey server. Needs the extra ``redis``."""

from .models._extras import needs_extra

with needs_extra(
    "redis",
    "worksection_async.redis "
    "(RedisCursor, RedisDoorbell, RedisMemory, RedisTokenBucket, RedisTokenStore, RedisTokenVault)",
):
    from ._auth.redis_store import RedisTokenStore, RedisTokenVault
    from ._limits.redis_bucket import RedisTokenBucket
    from ._sync.redis_cursor import RedisCursor
    from ._sync.redis_doorbell import RedisDoorbell
    from .webhooks.redis_memory import RedisMemory

__all__ = ["RedisCursor", "RedisDoorbell", "RedisMemory", "RedisTokenBucket", "RedisTokenStore", "RedisTokenVault"]
