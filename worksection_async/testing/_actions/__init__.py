"""What the service can do: a module per group of its reference, a function per action, named as the action."""

from . import comments, costs, files, members, projects, tags, tasks, timers, webhooks
from .call import HANDLERS, Call, Download

__all__ = [
    "HANDLERS",
    "Call",
    "Download",
    "comments",
    "costs",
    "files",
    "members",
    "projects",
    "tags",
    "tasks",
    "timers",
    "webhooks",
]
