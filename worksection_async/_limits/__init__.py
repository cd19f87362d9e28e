"""The rate limiter: the queue of waiting calls and the token bucket, in memory, in a file or in Redis."""
