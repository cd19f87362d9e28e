"""The actions of the service: one function per action, with its name; one module per group of the reference."""

from . import comments, costs, files, members, projects, tags, tasks, timers, webhooks
from .request import HANDLERS, ActionRequest, Download

__all__ = [
    "HANDLERS",
    "ActionRequest",
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
