"""A bucket in a file: shared by all who open it, and hard to break."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest
import trio
from virtual_time import on_virtual_time

from worksection_async import FileTokenBucket
from worksection_async._file_bucket import CHECKSUM, STATE, _packed
from worksection_async._pace import DECAY, FIRST_MARGIN, LEAST_MARGIN, Pace
from worksection_async.errors import TransportError

HOLDS_THE_LOCK = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1] + ".lock")
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""

HOLDS_A_SLOT = """
import sys, time, anyio
from worksection_async import FileTokenBucket
limiter = FileTokenBucket(sys.argv[1], rate=float(sys.argv[2]))
async def main():
    await limiter.acquire()
    visit = await limiter._advance(None, 0.0)
    assert not visit.is_used
    print("held", flush=True)
    time.sleep(60)
anyio.run(main)
"""

TAKES_TURNS = """
import sys, time, anyio
from worksection_async import FileTokenBucket
limiter = FileTokenBucket(sys.argv[1], rate=float(sys.argv[2]))
async def main():
    for _ in range(int(sys.argv[3])):
        await limiter.acquire()
        print(time.monotonic())
anyio.run(main)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


class Clock:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def process(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(sorted(times))]


async def took(limiter: FileTokenBucket) -> float:
    """Seconds until a turn came."""
    start = time.monotonic()
    with anyio.fail_after(10):
        await limiter.acquire()
    return time.monotonic() - start


# Sharing


def test_two_instances_share_a_file(path: Path) -> None:
    async def main() -> None:
        first, second = (FileTokenBucket(path, clock=trio.current_time) for _ in range(2))
        went: list[float] = []

        async def work(limiter: FileTokenBucket) -> None:
            for _ in range(10):
                await limiter.acquire()
                went.append(trio.current_time())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, first)
            tasks.start_soon(work, second)
        assert min(gaps(went)) >= 1
        assert max(went) - min(went) <= 19 * (1 + LEAST_MARGIN) + 1
        assert first.statistics().granted == second.statistics().granted == 10

    on_virtual_time(main)


def test_processes_share_a_file_and_take_turns(path: Path) -> None:
    rate, turns = 50, 15
    workers = [process(TAKES_TURNS, path, rate, turns) for _ in range(3)]
    went = [[float(line) for line in worker.communicate(timeout=30)[0].split()] for worker in workers]
    assert [len(each) for each in went] == [turns] * 3
    assert [worker.returncode for worker in workers] == [0] * 3
    # Each moment is taken a little after its turn, by chance: so the middle one of the gaps.
    between = sorted(gaps([moment for each in went for moment in each]))
    assert between[len(between) // 2] >= 1 / rate * 0.8


def test_threads_share_an_instance_and_each_other(path: Path) -> None:
    limiters = [FileTokenBucket(path, rate=200) for _ in range(2)]

    async def work(limiter: FileTokenBucket) -> None:
        for _ in range(10):
            await limiter.acquire()

    start = time.monotonic()
    threads = [
        threading.Thread(target=anyio.run, args=(work, limiter), kwargs={"backend": name})
        for limiter, name in zip(limiters * 2, ("asyncio", "asyncio", "trio", "trio"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(limiter.statistics().granted for limiter in limiters) == 40
    assert time.monotonic() - start >= 39 / 200


def test_the_margin_is_shared(path: Path) -> None:
    """What the service refused to one, all have learnt."""

    async def main() -> None:
        first, second = (FileTokenBucket(path, clock=trio.current_time) for _ in range(2))
        await first.refused(retry_after=5)
        for _ in range(3):
            await first.refused()
        start = trio.current_time()
        await second.acquire()
        assert trio.current_time() - start == pytest.approx(5)
        assert second.statistics().margin == pytest.approx(LEAST_MARGIN * 2**4, rel=0.01)

    on_virtual_time(main)


def test_a_push_into_the_future_survives_the_next_visits(path: Path) -> None:
    async def main() -> None:
        limiter = FileTokenBucket(path, clock=trio.current_time)
        await limiter.acquire()
        await limiter.refused(retry_after=30)
        start = trio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(limiter.acquire)
        assert trio.current_time() - start == pytest.approx(32, abs=0.3)

    on_virtual_time(main)


def test_the_path_holds_when_the_process_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    limiter = FileTokenBucket("bucket")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    anyio.run(limiter.acquire)
    assert (tmp_path / "bucket").stat().st_size
    assert not list((tmp_path / "elsewhere").iterdir())


def test_it_tells_how_things_stand(path: Path) -> None:
    limiter = FileTokenBucket(path, rate=4)
    assert repr(limiter) == "<FileTokenBucket 4/s, 0 waiting>"

    async def main() -> None:
        for _ in range(3):
            await limiter.acquire()

    anyio.run(main)
    statistics = limiter.statistics()
    assert statistics.granted == 3
    assert statistics.margin == pytest.approx(FIRST_MARGIN * DECAY**3)
    assert 0 < statistics.next_slot <= 0.25


# Refusals


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    FileTokenBucket(tmp_path / "a" / "b" / "bucket")
    assert (tmp_path / "a" / "b" / "bucket").exists()


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "bucket", tmp_path / "file" / "a" / "bucket", tmp_path):
        with pytest.raises(ValueError, match="cannot be written, so it cannot be shared: ") as caught:
            FileTokenBucket(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_a_rate_that_makes_no_sense_is_refused(rate: float, path: Path) -> None:
    with pytest.raises(ValueError, match="rate"):
        FileTokenBucket(path, rate)
    assert not path.exists()


def test_without_filelock_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ImportError, match=r"pip install worksection-async\[file\]"):
        FileTokenBucket(path)


# Damage


def spoiled(content: bytes) -> dict[str, bytes]:
    numbers = STATE.unpack(content[: STATE.size])
    return {
        "cut": content[:-1],
        "shorter": content[:10],
        "longer": content + b"x",
        "garbage": random.Random(1).randbytes(len(content)),
        "much garbage": b"garbage " * 1000,
        "one bit": bytes([content[0] ^ 1]) + content[1:],
        "not a number": _packed(numbers[0], Pace(1.0, 1, math.nan, *numbers[2:])),
        "nothing but zeros": bytes(len(content)),
    }


def spoil(path: Path, damage: str) -> None:
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(spoiled(path.read_bytes())[damage])


@pytest.mark.parametrize("damage", [*spoiled(_packed(0.0, Pace(1.0))), "removed"])
@pytest.mark.parametrize("holding", [False, True], ids=["nobody holds a slot", "somebody holds a slot"])
def test_a_damaged_state_counts_as_just_used(damage: str, holding: bool, path: Path) -> None:
    """The next turn is one interval away, whatever the state had been, and then they go on as ever."""
    clock = Clock()

    async def main() -> None:
        limiter, other = (FileTokenBucket(path, clock=clock) for _ in range(2))
        await limiter.acquire()
        clock.seconds += 20
        await limiter.refused(retry_after=10)
        held = (await other._advance(None, 0.0)).slot if holding else None
        clock.seconds += 10.5
        spoil(path, damage)
        visit = await limiter._advance(None, 0.0)
        assert visit.wait == pytest.approx(1 + FIRST_MARGIN)
        later = (await other._advance(held, 0.0)).wait
        assert later == pytest.approx(2 * (1 + FIRST_MARGIN), abs=0.1)
        clock.seconds += 1.001 + FIRST_MARGIN
        assert (await limiter._advance(visit.slot, 0.0)).is_used

    anyio.run(main)
    assert path.stat().st_size == STATE.size + CHECKSUM.size


def test_a_state_from_before_a_restart_of_the_machine_counts_as_just_used(path: Path) -> None:
    """The monotonic clock begins anew with the machine."""
    clock = Clock(500_000.0)

    async def main() -> None:
        await FileTokenBucket(path, clock=clock).acquire()
        clock.seconds = 12.0
        limiter = FileTokenBucket(path, clock=clock)
        visit = await limiter._advance(None, 0.0)
        assert visit.wait == pytest.approx(1 + FIRST_MARGIN)
        clock.seconds = 13.0 + FIRST_MARGIN
        assert (await limiter._advance(visit.slot, 0.0)).is_used
        assert (await limiter._advance(None, 0.0)).wait == pytest.approx(1 + FIRST_MARGIN, abs=0.02)

    anyio.run(main)


def test_a_file_that_cannot_be_used_any_more_is_a_transport_error(tmp_path: Path) -> None:
    """Its folder went away: nothing was sent, and the error says which file."""
    limiter = FileTokenBucket(tmp_path / "folder" / "bucket")
    for file in (tmp_path / "folder").iterdir():
        file.unlink()
    (tmp_path / "folder").rmdir()
    (tmp_path / "folder").touch()
    with pytest.raises(TransportError, match="bucket cannot be used") as caught:
        anyio.run(limiter.acquire)
    assert not caught.value.sent
    assert not any(limiter.statistics().waiting.values())


# Processes that die


@pytest.mark.parametrize(("code", "args"), [(HOLDS_THE_LOCK, ()), (HOLDS_A_SLOT, (2,))], ids=["the lock", "a slot"])
def test_a_killed_holder_does_not_hold_up_the_others(code: str, args: tuple[object, ...], path: Path) -> None:
    """kill -9 of a process that holds the lock, or a reservation: the next turn comes within two intervals."""
    limiter = FileTokenBucket(path, rate=2)
    holder = process(code, path, *args)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waits: list[float] = []

    async def main() -> None:
        waits.append(await took(limiter))
        waits.append(await took(limiter))

    holder.kill()
    holder.communicate()
    anyio.run(main)
    assert max(waits) <= 2 * 0.5 * (1 + FIRST_MARGIN) + 0.1


def test_a_lock_nobody_gives_back_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worksection_async._file_bucket.LOCK_TIMEOUT", 0.1)
    limiter = FileTokenBucket(path)
    holder = process(HOLDS_THE_LOCK, path)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TransportError, match="cannot be used"):
            anyio.run(limiter.acquire)
        with pytest.raises(ValueError, match="somebody has held its lock"):
            FileTokenBucket(path)
    finally:
        holder.kill()
        holder.communicate()
