"""Helpers that combine replies: the tree of tasks, statuses and labels of a task, and a member directory."""

from .status_tags import StatusTags, Tagged, labels_of, statuses_of
from .task_tree import Node, TaskTree
from .user_directory import UserDirectory

__all__ = ["Node", "StatusTags", "Tagged", "TaskTree", "UserDirectory", "labels_of", "statuses_of"]
