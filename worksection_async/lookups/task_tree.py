"""Builds the tree of tasks and subtasks from the lists that the service returns.

::

    tree = TaskTree(await ws.get_tasks(26, extra=["subtasks"]))
    for node in tree.walk():
        print("  " * node.depth + node.task.name)

In lists, the nesting in ``child`` is the only reference to the parent, so request ``extra=["subtasks"]``; subtasks that
`search_tasks` returns have no parent. The ``page`` of a task is not usable: with three levels, it omits the middle one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from ..models import Task

__all__ = ["Node", "TaskTree"]


@attrs.frozen(eq=False, repr=False)
class Node:
    """A task and its position in a `TaskTree`."""

    task: Task
    """The record of the task with the most non-empty fields."""

    _tree: TaskTree = attrs.field(alias="tree")

    @property
    def parent(self) -> Node | None:
        """The parent task, or None at the top level or if the parent is not in the tree."""
        id_parent = self._tree._parents.get(self.task.id)
        return None if id_parent is None else self._tree[id_parent]

    @property
    def children(self) -> tuple[Node, ...]:
        """The subtasks, in the order of the input."""
        return tuple(self._tree[id_task] for id_task in self._tree._children[self.task.id])

    @property
    def ancestors(self) -> tuple[Node, ...]:
        """The ancestors, from the parent up to the top-level task."""
        ancestors, node = [], self.parent
        while node is not None:
            ancestors.append(node)
            node = node.parent
        return tuple(ancestors)

    @property
    def depth(self) -> int:
        """Number of ancestors; 0 at the top level."""
        return len(self.ancestors)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all its descendants, each before its subtasks."""
        # A stack instead of recursion: the depth of the data must not hit the recursion limit.
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack += reversed(node.children)

    def __repr__(self) -> str:
        return f"<Node {self.task.id} {self.task.name!r} depth={self.depth} children={len(self.children)}>"


class TaskTree:
    """The tree of the given tasks and their subtasks (``child``); each task occurs once.

    The parent of a task is the task that contains it in ``child``, otherwise the task that its ``parent`` refers to,
    if that is in the input. If a task occurs several times, its first position counts, and the record with the most
    non-empty fields is kept, because `get_task` abbreviates subtasks. A reference that would close a cycle is ignored.

    Args:
        tasks: Results of `get_all_tasks`, `get_tasks`, `search_tasks` or `get_task`; several can be combined.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._nodes: dict[int, Node] = {}
        self._parents: dict[int, int] = {}
        with_parent_field: list[Task] = []
        stack: list[tuple[Task, int | None]] = [(task, None) for task in reversed(list(tasks))]
        while stack:
            task, id_parent = stack.pop()
            self._add(task)
            if id_parent is not None:
                self._set_parent(task.id, id_parent)
            if task.parent is not None:
                with_parent_field.append(task)
            stack += [(child, task.id) for child in reversed(task.child)]
        # After the loop, because nesting in `child` takes precedence over the `parent` field.
        for task in with_parent_field:
            if task.parent is not None and task.parent.id in self._nodes:
                self._set_parent(task.id, task.parent.id)
        self._children: dict[int, list[int]] = {id_task: [] for id_task in self._nodes}
        for id_task in self._nodes:
            if (id_parent := self._parents.get(id_task)) is not None:
                self._children[id_parent].append(id_task)

    def _add(self, task: Task) -> None:
        node = self._nodes.get(task.id)
        if node is None or _count_values(task) > _count_values(node.task):
            self._nodes[task.id] = Node(task, self)

    def _set_parent(self, id_task: int, id_parent: int) -> None:
        """Set the parent of a task, unless it has one or the parent is the task itself or one of its descendants."""
        ancestor: int | None = id_parent
        while ancestor is not None and ancestor != id_task:
            ancestor = self._parents.get(ancestor)
        if ancestor is None:
            self._parents.setdefault(id_task, id_parent)

    @property
    def roots(self) -> tuple[Node, ...]:
        """The top-level tasks, in the order of the input."""
        return tuple(node for id_task, node in self._nodes.items() if id_task not in self._parents)

    def walk(self) -> Iterator[Node]:
        """Yield all tasks, each before its subtasks."""
        for root in self.roots:
            yield from root.walk()

    __iter__ = walk

    def __getitem__(self, id_task: int) -> Node:
        """Return the node of a task.

        Raises:
            KeyError: The tree has no task with this ID.
        """
        return self._nodes[id_task]

    def __contains__(self, id_task: object) -> bool:
        return id_task in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<TaskTree of {len(self)} tasks, {len(self.roots)} at the top>"


def _count_values(task: Task) -> int:
    """Return the number of non-empty fields."""
    return sum(getattr(task, field.name) not in (None, "", (), {}) for field in attrs.fields(Task))
