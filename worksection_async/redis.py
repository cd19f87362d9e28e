"""What machines share through a Redis or Valkey server. Needs the extra ``redis``."""

from ._redis_bucket import RedisTokenBucket
from ._redis_store import RedisTokenStore

__all__ = ["RedisTokenBucket", "RedisTokenStore"]
