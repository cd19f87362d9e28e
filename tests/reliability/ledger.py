"""What the callers of the soak believe about their calls, and the comparison with the account of the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import attrs

from worksection_async import Session
from worksection_async._limits.limiter import Limiter
from worksection_async.errors import WorksectionError
from worksection_async.models import Task
from worksection_async.testing import Simulator

Belief = Literal["executed", "not executed", "in doubt"]

EXECUTIONS: dict[Belief, tuple[int, ...]] = {"executed": (1,), "not executed": (0,), "in doubt": (0, 1)}
"""How often a write that creates a task may have been executed."""


@attrs.define
class Creation:
    """A write that creates a task."""

    content: bytes | None
    belief: Belief = "in doubt"
    """In doubt after an error with ``sent=True``, and after a cancelled call."""
    id: int | None = None


@attrs.define(eq=False)
class OwnTask:
    """A task that only one caller changes."""

    id: int
    names: set[str]
    """The names that it can have: several after an update that is in doubt."""

    async def update(self, ws: Session, title: str, dice: random.Random) -> None:
        before = self.names
        self.names = before | {title}
        try:
            await ws.update_task(self.id, title=title)
        except WorksectionError as error:
            if not error.sent:
                self.names = before
            raise
        self.names = {title}

    async def read(self, ws: Session, title: str, dice: random.Random) -> None:
        name = (await ws.get_task(self.id)).name
        assert name in self.names, f"task {self.id} has the name {name!r}, not one of {self.names}"
        self.names = {name}


class Ledger:
    """The beliefs of all callers."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = [OwnTask(task.id, {task.name}) for task in tasks]
        self._creations: dict[str, Creation] = {}
        self._outcomes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"{self.calls} calls: {dict(self._outcomes.most_common())}; {self._requests.total()} requests"

    @property
    def calls(self) -> int:
        return self._outcomes.total()

    def task_of(self, caller: int) -> OwnTask:
        return self._tasks[caller]

    async def settle(self, call: asyncio.Task[None], seconds: float | None) -> WorksectionError | None:
        """Wait for a call, count its outcome, and return its error; after *seconds* it is cancelled.

        Any other exception is raised: a call ends in a value or in a `WorksectionError`, unless it is cancelled.
        """
        await asyncio.wait([call], timeout=seconds)
        call.cancel()
        await asyncio.wait([call])
        error = None if call.cancelled() else call.exception()
        if error is not None and not isinstance(error, WorksectionError):
            raise error
        self._outcomes["cancelled" if call.cancelled() else type(error).__name__ if error else "returned"] += 1
        return error

    @contextlib.contextmanager
    def creation(self, title: str, content: bytes | None = None) -> Iterator[Callable[[int], None]]:
        """Record what the caller believes about the creation of a task; it passes its id if the call returns."""
        creation = self._creations[title] = Creation(content)

        def done(number: int) -> None:
            creation.id, creation.belief = number, "executed"

        try:
            yield done
        except WorksectionError as error:
            if not error.sent:
                creation.belief = "not executed"
            raise

    def created(self, sim: Simulator) -> set[int]:
        """Return the ids of the tasks that were created in this round."""
        return {task.id for task in sim.tasks.values() if task.name in self._creations}

    def compare(self, sim: Simulator, seen: Sequence[int]) -> None:
        """Compare the beliefs with the account and its events, then remove what was created."""
        created = [task for task in sim.tasks.values() if task.name in self._creations]
        executions = Counter(task.name for task in created)
        for title, creation in self._creations.items():
            number = executions[title]
            assert number in EXECUTIONS[creation.belief], f"{title!r} is {creation.belief}, but exists {number} times"
        for task in created:
            creation = self._creations[task.name]
            assert creation.id in (None, task.id)
            contents = [sim.content(file) for file in task.files]
            assert contents == ([] if creation.content is None else [creation.content]), f"files of {task.name!r}"
        for own in self._tasks:
            assert sim.tasks[own.id].name in own.names, f"an update of task {own.id} was lost"
        assert Counter(seen) == Counter(task.id for task in created), "an event was lost or yielded twice"
        self._count_requests(sim)
        for task in created:
            sim.delete(task)
        self._creations.clear()

    def _count_requests(self, sim: Simulator) -> None:
        for request in sim.requests:
            assert request.accepted, f"{request.action} was sent too early"
        self._requests.update(request.action for request in sim.requests)
        sim.requests.clear()
        sim.clear_events()

    def check_limiter(self, limiter: Limiter) -> None:
        """No call waits, and each slot that was granted and not given back was used for one request."""
        statistics = limiter.statistics()
        assert not any(statistics.waiting.values())
        of_oauth = sum(number for action, number in self._requests.items() if action.startswith("oauth2"))
        used = self._requests.total() - of_oauth
        assert statistics.granted == used, f"{statistics.granted} slots were granted for {used} requests"
