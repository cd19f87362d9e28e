"""A client without ``await``: for scripts, cron jobs, Celery tasks, Django views and notebooks."""

from .download import BlockingDownload
from .iterators import BlockingEventsSince, BlockingEventWatch, BlockingStream, BlockingTagWatch
from .limiter import BlockingLimiter
from .session import BlockingSession

__all__ = [
    "BlockingDownload",
    "BlockingEventWatch",
    "BlockingEventsSince",
    "BlockingLimiter",
    "BlockingSession",
    "BlockingStream",
    "BlockingTagWatch",
]
