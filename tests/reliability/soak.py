"""A soak: thousands of calls of concurrent callers with random faults, on a virtual clock.

Two sessions, one with the admin key and one with OAuth2, share the limiter of one account. The callers use all lanes,
and they read, write, upload, download, give up, and log in again; a watch runs beside them. After each round the
account of the simulator is compared with what the callers believe, and at the end the resources with those before.

``python -m tests.reliability.soak CALLS SEED`` runs it alone. The same seed gives the same calls and faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import attrs
import httpx

from tests.reliability.ledger import Ledger
from tests.reliability.resources import MEMORY_TOLERANCE_BYTES, Memory, Resources
from worksection_async import FileTokenStore, OAuth2, Session, TokenBucket
from worksection_async._limits.bucket_state import Visit
from worksection_async._limits.queue import LANES, Waiting
from worksection_async._protocol import structure
from worksection_async.errors import ReauthorizationRequired, WorksectionError
from worksection_async.testing import Simulator, VirtualClock, faults
from worksection_async.testing._reply import SimulatedReply
from worksection_async.testing._transport import SimulatorTransport
from worksection_async.testing.faults import Fault, answer

CALLERS = 12
ROUNDS = 20
PAUSE_HOURS = 6
"""Between two rounds. A watch remembers events for a day, so its memory no longer grows after five rounds."""


class Quarter:
    """The number of rounds at its end."""

    FIRST, SECOND, LAST = ROUNDS // 4, ROUNDS // 2, ROUNDS


TIMEOUT_SECONDS = 30.0
FAULT_SHARE = 0.3
CANCELLED_SHARE = 0.04
ACCESS_SECONDS = 60
"""Lifetime of an access token, so that each round has several refreshes."""

FILES = {f"plan-{size}.bin": random.Random(size).randbytes(size) for size in (0, 1, 1_000, 70_000, 200_000)}

Make = Callable[[random.Random], Fault]

LOST: list[Make] = [
    lambda dice: faults.unreachable(),
    lambda dice: faults.reset(executed=dice.random() < 0.5),
    lambda dice: faults.timeout(executed=dice.random() < 0.5),
    lambda dice: faults.server_error(dice.choice([500, 502, 503, 504]), executed=dice.random() < 0.5),
]
LIMITED: list[Make] = [
    lambda dice: faults.too_many_requests(),
    lambda dice: faults.too_many_requests(status=429, retry_after=dice.choice([None, 0.5, 7.0])),
    lambda dice: answer(SimulatedReply(b"", 503, {"Retry-After": "3"})),
    lambda dice: faults.delay(dice.uniform(0, 2 * TIMEOUT_SECONDS), executed=dice.random() < 0.5),
]
UNREADABLE: list[Make] = [
    lambda dice: faults.cut_body(),
    lambda dice: faults.bad_json(executed=dice.random() < 0.5),
    lambda dice: faults.empty_body(executed=dice.random() < 0.5),
    lambda dice: faults.invalid_utf8(executed=dice.random() < 0.5),
    lambda dice: faults.html_page(executed=dice.random() < 0.5),
    lambda dice: faults.redirect("https://example.com/", executed=dice.random() < 0.5),
]
OF_DOWNLOADS: list[Make] = [*LOST, *LIMITED, lambda dice: faults.cut_off(dice.randrange(100_000))]
"""A page instead of a file looks like a file, so `UNREADABLE` faults are not among them."""


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts the responses that have not been closed."""

    def __init__(self, transport: SimulatorTransport) -> None:
        self.clock = transport.clock
        self.unclosed = 0
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        self.unclosed += 1
        response.stream = _CountedStream(response.stream, self)  # type: ignore[arg-type]
        return response


class _CountedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, transport: CountingTransport) -> None:
        self._stream = stream
        self._transport: CountingTransport | None = transport

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        if self._transport is not None:
            self._transport.unclosed -= 1
            self._transport = None
        await self._stream.aclose()


@attrs.define(eq=False)
class Interruption:
    """A callback for `on_wait` by which an `InterruptingBucket` finds the task that it shall cancel."""

    task: asyncio.Task[None] | None = None

    def __call__(self, waiting: Waiting) -> None:
        pass


class InterruptingBucket(TokenBucket):
    """Cancels calls in the moment in which they get a slot, before they can use it."""

    def _apply(self, visit: Visit) -> Visit | None:
        head = self._queue.head()
        unneeded = super()._apply(visit)
        interruption = getattr(head.on_wait, "function", None) if head is not None and head.has_slot else None
        if isinstance(interruption, Interruption) and interruption.task is not None:
            interruption.task.cancel()
        return unneeded


@attrs.define(eq=False)
class Soak:
    """One run; its attributes are the parts that the callers share."""

    sim: Simulator
    folder: Path
    transport: CountingTransport
    ledger: Ledger
    project: int
    files: dict[int, bytes]
    sessions: list[Session]
    store: FileTokenStore
    seen: list[int] = attrs.field(factory=list)
    """Ids of the tasks whose creation the watch has reported."""

    async def watch(self) -> None:
        """Collect events without end; an error of a poll is raised by the watch, and the next step continues."""
        watch = self.sessions[0].watch(every=60)
        while True:
            with contextlib.suppress(WorksectionError):
                event = await anext(watch)
                if event.kind == "post_task":
                    self.seen.append(event.object.id)

    async def round(self, calls: int, seed: str) -> None:
        """Let the callers make *calls* calls, then compare the account with the ledger."""
        dice = random.Random(seed)
        if dice.random() < 0.5:
            self.sim.tokens.void(self.sim.oauth.live_pair().access_token)  # the service refuses it from now on
        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                share = calls // CALLERS + (number < calls % CALLERS)
                group.start_soon(self._caller, number, share, random.Random(f"{seed} {number}"))
        self.sim.clear_faults()
        await self._until_all_events_are_seen()
        self.ledger.compare(self.sim, self.seen)
        self.seen.clear()

    async def _until_all_events_are_seen(self) -> None:
        with anyio.move_on_after(3600):
            while not self.ledger.created(self.sim) <= set(self.seen):  # noqa: ASYNC110  # nothing tells when
                await anyio.sleep(60)
        await anyio.sleep(120)  # an event that is yielded twice would follow now

    async def _caller(self, number: int, calls: int, dice: random.Random) -> None:
        session = self.sessions[number % len(self.sessions)]
        own = self.ledger.task_of(number)
        kinds: list[Callable[[Session, str, random.Random], Coroutine[Any, Any, None]]] = [
            self._create, self._upload, self._download, self._read_shared, own.update, own.read,
        ]  # fmt: skip
        for call in range(calls):
            interruption = Interruption()
            view = session.with_options(
                lane=LANES[number % len(LANES)],
                max_wait=5.0 if dice.random() < 0.1 else None,
                max_age=dice.choice([0, 0, 60]),
                on_wait=interruption if dice.random() < CANCELLED_SHARE else None,
            )
            kind = dice.choice(kinds)
            self._let_fail(kind.__name__, dice)
            title = f"{number}.{call} {dice.random()}"
            interruption.task = asyncio.create_task(kind(view, title, dice))
            seconds = dice.uniform(0, 40) if dice.random() < CANCELLED_SHARE else None
            error = await self.ledger.settle(interruption.task, seconds)
            if isinstance(error, ReauthorizationRequired):
                await self.store.save(self.sim.issue_pair())  # the user logs in

    def _let_fail(self, kind: str, dice: random.Random) -> None:
        if dice.random() < FAULT_SHARE:
            if kind == "_download":
                self.sim.fail("download", dice.choice(OF_DOWNLOADS)(dice))
            else:
                action = {"_create": "post_task", "_upload": "post_task", "update": "update_task", "read": "get_task"}
                self.sim.fail(action.get(kind, "get_projects"), dice.choice([*LOST, *LIMITED, *UNREADABLE])(dice))
        if dice.random() < FAULT_SHARE / 10:
            self.sim.fail("get_events", dice.choice([*LOST, *LIMITED, *UNREADABLE])(dice))
        if dice.random() < FAULT_SHARE / 10:
            self.sim.fail("oauth2_refresh", dice.choice(LOST)(dice))

    # Kinds of calls

    async def _create(self, ws: Session, title: str, dice: random.Random) -> None:
        with self.ledger.creation(title) as done:
            done((await ws.post_task(self.project, title)).id)

    async def _upload(self, ws: Session, title: str, dice: random.Random) -> None:
        content = dice.randbytes(dice.choice([0, 10, 100_000]))
        path = self.folder / title
        path.write_bytes(content)
        try:
            with self.ledger.creation(title, content) as done:
                done((await ws.post_task(self.project, title, attach=[path])).id)
        finally:
            path.unlink()

    async def _download(self, ws: Session, title: str, dice: random.Random) -> None:
        number, content = dice.choice(list(self.files.items()))
        if dice.random() < 0.5:
            file = await ws.download(number, self.folder / title)
            assert file.path is not None
            found = file.path.read_bytes()
            file.path.unlink()
        else:
            async with ws.open_download(number) as stream:
                found = b"".join([chunk async for chunk in stream])
        assert found == content, f"file {number} has other bytes"

    async def _read_shared(self, ws: Session, title: str, dice: random.Random) -> None:
        assert [project.id for project in await ws.get_projects()] == [self.project]


@contextlib.asynccontextmanager
async def prepared(sim: Simulator, folder: Path) -> AsyncIterator[Soak]:
    """Yield a soak over an account with a project, files, and a task for each caller."""
    project = sim.add_project("Moon", users=[sim.owner])
    ledger = Ledger([sim.add_task(project, "Start") for _ in range(CALLERS)])
    shelf = sim.add_task(project, "Shelf")
    contents = {sim.add_file(shelf, name, content).id: content for name, content in FILES.items()}
    sim.clear_events()
    sim.oauth.access_seconds = ACCESS_SECONDS
    store = FileTokenStore(folder / "tokens" / "token.json")
    await store.save(sim.issue_pair())
    transport = CountingTransport(sim.transport())
    limiter = InterruptingBucket(clock=sim.clock.monotonic)
    options: dict[str, Any] = {"transport": transport, "limiter": limiter, "timeout": TIMEOUT_SECONDS}
    files = folder / "files"
    files.mkdir()
    async with sim.session(**options) as by_key, sim.session(OAuth2(sim.oauth_app(), store), **options) as by_token:
        yield Soak(sim, files, transport, ledger, project.id, contents, [by_key, by_token], store)


async def soak(calls: int, seed: int, folder: Path) -> str:
    """Make *calls* calls with random faults, and return a summary; a broken promise raises `AssertionError`."""
    random.seed(seed)  # the delays before retries
    memory = Memory()
    async with Simulator(seed="empty", rate=1.0, clock=VirtualClock()) as sim, prepared(sim, folder) as run:
        async with anyio.create_task_group() as group:
            group.start_soon(run.watch)
            for number in range(ROUNDS):
                await run.round(calls // ROUNDS + (number < calls % ROUNDS), f"{seed} {number}")
                match number + 1:
                    case Quarter.FIRST:
                        before = Resources.now(run.transport.unclosed)
                        memory.start()
                    case Quarter.SECOND:
                        memory.measure()
                    case Quarter.LAST:
                        memory.measure()
                        memory.stop()
                sim.advance(hours=PAUSE_HOURS)
            after = Resources.now(run.transport.unclosed)
            group.cancel_scope.cancel()
        assert after.are_no_more_than(before), f"{before} after the first quarter, {after} at the end"
        assert not list(run.folder.iterdir()), "a temporary file was left"
        assert run.ledger.calls == calls
        run.ledger.check_limiter(run.sessions[0].limiter)
    assert not memory.leaked(), f"more objects after the second half: {memory.leaked()}"
    assert memory.growth < MEMORY_TOLERANCE_BYTES, f"{memory.growth} bytes more after the second half"
    return f"{run.ledger}, {sim.oauth.refreshes} refreshes, {memory.growth} bytes more after the second half"


def main(calls: int, seed: int) -> None:
    print(f"soak: {calls} calls, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(structure, "CACHE_SIZE", 16):
        print(asyncio.run(soak(calls, seed, Path(folder))))


if __name__ == "__main__":
    calls, seed = (*map(int, sys.argv[1:]), *(10_000, random.randrange(10**6))[len(sys.argv) - 1 :])
    main(calls, seed)
