"""Tasks as the tree they are: who is part of whom, how deep, in which order.

::

    tree = TaskTree(await ws.get_tasks(26, extra=["subtasks"]))
    for node in tree.walk():
        print("  " * node.depth + node.task.name)

A subtask in a list does not say whose part it is; where it stands does. (Its ``page`` does not: of three levels it
leaves out the one in the middle.) So ask for ``extra=["subtasks"]``: subtasks that `search_tasks` finds have no parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from ..models import Task

__all__ = ["Node", "TaskTree"]


@attrs.frozen(eq=False, repr=False)
class Node:
    """A task at its place in a `TaskTree`."""

    task: Task
    """The task, in the fullest form that was given."""

    _tree: TaskTree = attrs.field(alias="tree")

    @property
    def parent(self) -> Node | None:
        """The task it is part of, if that was given."""
        number = self._tree._parents.get(self.task.id)
        return None if number is None else self._tree[number]

    @property
    def children(self) -> tuple[Node, ...]:
        """Its subtasks, in the order given."""
        return tuple(self._tree[number] for number in self._tree._children[self.task.id])

    @property
    def ancestors(self) -> tuple[Node, ...]:
        """Its parent first, the task at the top last."""
        found, node = [], self.parent
        while node is not None:
            found.append(node)
            node = node.parent
        return tuple(found)

    @property
    def depth(self) -> int:
        """Levels above it; 0 at the top."""
        return len(self.ancestors)

    def walk(self) -> Iterator[Node]:
        """The task and all below it, each before its subtasks."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def __repr__(self) -> str:
        return f"<Node {self.task.id} {self.task.name!r} depth={self.depth} children={len(self.children)}>"


class TaskTree:
    """The tree of *tasks*: those given and their subtasks (``child``), each once.

    A task is part of the one in whose ``child`` it stands, or, where it stands in none, of the one its ``parent``
    names, if that was given too. A task given twice keeps the first place found for it and its fullest form
    (`get_task` abbreviates subtasks). Where the data has a circle it is opened: no task is part of itself.

    Args:
        tasks: What `get_all_tasks`, `get_tasks` or `search_tasks` returned, or several of these.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._nodes: dict[int, Node] = {}
        self._parents: dict[int, int] = {}
        named: list[Task] = []
        waiting: list[tuple[Task, int | None]] = [(task, None) for task in reversed(list(tasks))]
        while waiting:
            task, parent = waiting.pop()
            self._add(task)
            if parent is not None:
                self._put_below(task.id, parent)
            if task.parent is not None:
                named.append(task)
            waiting += [(child, task.id) for child in reversed(task.child)]
        for task in named:
            if task.parent is not None and task.parent.id in self._nodes:
                self._put_below(task.id, task.parent.id)
        self._children: dict[int, list[int]] = {number: [] for number in self._nodes}
        for number in self._nodes:
            if (above := self._parents.get(number)) is not None:
                self._children[above].append(number)

    def _add(self, task: Task) -> None:
        node = self._nodes.get(task.id)
        if node is None or _said(task) > _said(node.task):
            self._nodes[task.id] = Node(task, self)

    def _put_below(self, number: int, parent: int) -> None:
        """Unless it has a place already, or would be below itself."""
        above: int | None = parent
        while above is not None and above != number:
            above = self._parents.get(above)
        if above is None:
            self._parents.setdefault(number, parent)

    @property
    def roots(self) -> tuple[Node, ...]:
        """The tasks at the top, in the order given."""
        return tuple(node for number, node in self._nodes.items() if number not in self._parents)

    def walk(self) -> Iterator[Node]:
        """All tasks, each before its subtasks."""
        for root in self.roots:
            yield from root.walk()

    __iter__ = walk

    def __getitem__(self, id_task: int) -> Node:
        """The task with that number; `KeyError` if there is none."""
        return self._nodes[id_task]

    def __contains__(self, id_task: object) -> bool:
        return id_task in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<TaskTree of {len(self)} tasks, {len(self.roots)} at the top>"


def _said(task: Task) -> int:
    """How much a record says about its task."""
    return sum(getattr(task, field.name) not in (None, "", (), {}) for field in attrs.fields(Task))
