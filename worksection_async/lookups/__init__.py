"""What replies leave open: the tree of tasks, which tags are statuses, and members by id, address or name."""

from .status_tags import StatusTags, Tagged, labels_of, statuses_of
from .task_tree import Node, TaskTree
from .user_directory import UserDirectory

__all__ = ["Node", "StatusTags", "Tagged", "TaskTree", "UserDirectory", "labels_of", "statuses_of"]
