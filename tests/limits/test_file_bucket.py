"""A bucket in a file: it is shared by processes, and it survives damaged files, killed processes and outages."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from worksection_async import FileTokenBucket
from worksection_async._limits.bucket_state import BACKOFF_STEP, MAX_JITTER, BucketState, Visit
from worksection_async._limits.file_bucket import SIZE_BYTES
from worksection_async._limits.shared_bucket import FORMAT, serialize
from worksection_async.errors import InvalidCall, TransportError, WaitTooLong

DISTANCE = 1 + MAX_JITTER
"""Seconds between two slots at one request/s while response times are not known."""

HOLD_THE_LOCK = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1] + ".lock"):
    print("held", flush=True)
    sys.stdin.readline()
"""

HOLD_A_TICKET = """
import sys
from worksection_async import FileTokenBucket
limiter = FileTokenBucket(sys.argv[1], rate=float(sys.argv[2]))
for _ in range(2):
    visit = limiter._change(lambda state, now: state.advance(None, now))
assert not visit.is_used
print("held", flush=True)
sys.stdin.readline()
"""

ACQUIRE_SLOTS = """
import sys, anyio
from worksection_async import FileTokenBucket
from worksection_async._limits import shared_bucket
from worksection_async._limits.bucket_state import BucketState

path, rate, slots, shared_bucket.FORMAT = sys.argv[1], *map(int, sys.argv[2:])
advance = BucketState.advance

def advance_and_print(state, held, now):
    visit = advance(state, held, now)
    if visit.is_used:
        print(now)
    return visit

BucketState.advance = advance_and_print

async def main():
    limiter = FileTokenBucket(path, rate)
    for _ in range(slots):
        await limiter.acquire()

anyio.run(main)
"""
"""Print the time of each slot, in seconds of the clock that all processes share."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


class Clock:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def process(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def lock_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it reads a line."""
    with process(HOLD_THE_LOCK, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(sorted(times))]


def visit_bucket(limiter: FileTokenBucket, held: int | None = None) -> Visit:
    return limiter._change(lambda state, now: state.advance(held, now))


# Sharing


def test_two_limiters_on_one_file_grant_slots_in_turn(path: Path) -> None:
    clock = Clock()
    first, second = (FileTokenBucket(path, clock=clock) for _ in range(2))
    assert visit_bucket(first).is_used
    waits = [visit_bucket(limiter).wait for limiter in (second, first, second)]
    assert waits == sorted(waits)
    assert 1 <= waits[0] < waits[1] < waits[2] <= 3 * DISTANCE
    clock.seconds += DISTANCE
    assert visit_bucket(second, 2).is_used


@pytest.mark.parametrize("formats", [(FORMAT,) * 3, (FORMAT, FORMAT + 1)], ids=["one format", "two formats"])
def test_processes_share_a_file(formats: tuple[int, ...], path: Path) -> None:
    """No two slots are closer than the interval, even if another version of the package uses another format."""
    rate, slots = 50, 15
    workers = [process(ACQUIRE_SLOTS, path, rate, slots, version) for version in formats]
    granted_at = [[float(line) for line in worker.communicate(timeout=60)[0].split()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(formats)
    assert [len(each) for each in granted_at] == [slots] * len(formats)
    assert min(gaps([moment for each in granted_at for moment in each])) >= 1 / rate - 1e-5


def test_threads_share_an_instance_and_each_other(path: Path, slot_times: list[float]) -> None:
    limiters = [FileTokenBucket(path, rate=200) for _ in range(2)]

    async def work(limiter: FileTokenBucket) -> None:
        for _ in range(10):
            await limiter.acquire()

    threads = [
        threading.Thread(target=anyio.run, args=(work, limiter), kwargs={"backend": name})
        for limiter, name in zip(limiters * 2, ("asyncio", "asyncio", "trio", "trio"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(slot_times) == sum(limiter.statistics().granted for limiter in limiters) == 40
    assert min(gaps(slot_times)) >= 1 / 200 - 1e-5


@pytest.mark.anyio
async def test_a_hold_applies_to_all_processes(path: Path) -> None:
    clock = Clock()
    first, second = (FileTokenBucket(path, clock=clock) for _ in range(2))
    await first.refused()
    assert visit_bucket(second).margin == pytest.approx(MAX_JITTER + BACKOFF_STEP, rel=0.1)
    await first.hold(30)
    for number in range(1, 4):
        assert visit_bucket(second).wait >= 29 + number


@pytest.mark.anyio
async def test_the_forecast_includes_a_slot_that_was_just_used(path: Path) -> None:
    """With max_wait, a call fails at once instead of after the wait."""
    limiter = FileTokenBucket(path, 0.01)
    await limiter.acquire()
    assert limiter.eta() > 90
    with pytest.raises(WaitTooLong, match="the forecast wait of 10"):
        await limiter.acquire(max_wait=0.3)


def test_a_relative_path_survives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    limiter = FileTokenBucket("bucket")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    anyio.run(limiter.acquire)
    assert (tmp_path / "bucket").stat().st_size
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.anyio
async def test_statistics_contain_the_margin_of_the_file(path: Path) -> None:
    limiter = FileTokenBucket(path, rate=4)
    assert repr(limiter) == "<FileTokenBucket 4/s, 0 waiting>"
    await limiter.acquire()
    statistics = limiter.statistics()
    assert statistics.granted == 1
    assert statistics.margin == MAX_JITTER
    assert 0 < statistics.next_slot <= 0.25 * DISTANCE


@pytest.mark.anyio
async def test_a_lock_held_by_another_process_does_not_block_the_event_loop(
    path: Path, lock_holder: subprocess.Popen[str]
) -> None:
    """The lock is released only after a hundred checkpoints of the event loop."""
    limiter = FileTokenBucket(path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(limiter.acquire)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert not limiter.statistics().granted
        print(file=lock_holder.stdin, flush=True)
    assert limiter.statistics().granted == 1


# Invalid arguments


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    FileTokenBucket(tmp_path / "a" / "b" / "bucket")
    assert (tmp_path / "a" / "b" / "bucket").exists()


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "bucket", tmp_path / "file" / "a" / "bucket", tmp_path):
        with pytest.raises(InvalidCall, match="cannot be written, so it cannot be shared: ") as caught:
            FileTokenBucket(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", [None, 5, "null\0byte"], ids=ascii)
def test_a_value_that_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidCall, match=r"FileTokenBucket: .*(the path must be text|null)"):
        FileTokenBucket(path)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_an_invalid_rate_is_refused(rate: float, path: Path) -> None:
    with pytest.raises(InvalidCall, match="rate"):
        FileTokenBucket(path, rate)
    assert not path.exists()


# Damage


def damaged() -> dict[str, bytes | None]:
    """Contents that no version of the package writes; None means a missing file."""
    good = serialize(BucketState(1.0, next=4, served=3, served_at=950.0)).ljust(SIZE_BYTES)
    document = json.loads(good)
    odd = {
        "not a number": {**document, "served_at": "yesterday"},
        "infinity": {**document, "served_at": math.inf},
        "no number": {**document, "served_at": math.nan},
        "a missing field": {name: value for name, value in document.items() if name != "served"},
        "another format without a time": {"format": FORMAT + 1},
        "a list": [1, 2],
    }
    return {
        "cut": good[:40],
        "garbage": random.Random(1).randbytes(SIZE_BYTES),
        "much garbage": b"garbage " * 1000,
        "zeros": bytes(SIZE_BYTES),
        "removed": None,
        **{name: json.dumps(document).encode() for name, document in odd.items()},
    }


@pytest.mark.parametrize("damage", damaged())
def test_a_damaged_state_counts_as_that_of_a_bucket_that_was_just_used(damage: str, path: Path) -> None:
    """The next slot is one interval away, and a ticket of the lost state is replaced."""
    clock = Clock()
    limiter, other = (FileTokenBucket(path, clock=clock) for _ in range(2))
    assert visit_bucket(limiter).is_used
    held = visit_bucket(other)
    clock.seconds += 20
    if (content := damaged()[damage]) is None:
        path.unlink()
    else:
        path.write_bytes(content)
    visit = visit_bucket(limiter)
    assert 1 <= visit.wait <= DISTANCE
    assert 2 <= visit_bucket(other, held.ticket + 1000).wait <= 2 * DISTANCE
    clock.seconds += DISTANCE
    assert visit_bucket(limiter, visit.ticket).is_used


def test_the_not_before_time_of_another_format_is_obeyed(path: Path) -> None:
    clock = Clock()
    path.write_text(json.dumps({"format": FORMAT + 1, "not_before": clock.seconds + 7}))
    visit = visit_bucket(FileTokenBucket(path, clock=clock))
    assert 7 <= visit.wait <= 7 + MAX_JITTER


def test_a_state_from_before_a_restart_of_the_machine_counts_as_just_used(path: Path) -> None:
    """The monotonic clock restarts with the machine."""
    clock = Clock(500_000.0)
    visit_bucket(FileTokenBucket(path, clock=clock))
    clock.seconds = 12.0
    limiter = FileTokenBucket(path, clock=clock)
    visit = visit_bucket(limiter)
    assert 1 <= visit.wait <= DISTANCE
    clock.seconds += DISTANCE
    assert visit_bucket(limiter, visit.ticket).is_used


def test_a_file_that_becomes_unusable_is_a_transport_error(tmp_path: Path) -> None:
    """Its folder was replaced by a file: no request is sent, and the error names the bucket."""
    limiter = FileTokenBucket(tmp_path / "folder" / "bucket")
    shutil.rmtree(tmp_path / "folder")
    (tmp_path / "folder").touch()
    with pytest.raises(TransportError, match="bucket cannot be used") as caught:
        anyio.run(limiter.acquire)
    assert not caught.value.sent
    assert not any(limiter.statistics().waiting.values())


@pytest.mark.anyio
async def test_a_cancelled_call_does_not_raise_the_error_of_the_bucket(tmp_path: Path) -> None:
    limiter = FileTokenBucket(tmp_path / "folder" / "bucket", 0.1)
    await limiter.acquire()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(limiter.acquire)
            while limiter._held is None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            shutil.rmtree(tmp_path / "folder")
            scope.cancel()
    assert scope.cancelled_caught


# Killed processes


@pytest.mark.parametrize(("code", "args"), [(HOLD_THE_LOCK, ()), (HOLD_A_TICKET, (50,))], ids=["the lock", "a ticket"])
def test_a_killed_process_does_not_block_the_others(code: str, args: tuple[object, ...], path: Path) -> None:
    """kill -9 of a process that holds the lock or a reservation; at most its reservation is lost."""
    limiter = FileTokenBucket(path, rate=50)
    with process(code, path, 50) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    before = visit_bucket(limiter)
    assert before.wait <= 3 * DISTANCE / 50

    async def main() -> None:
        for _ in range(3):
            await limiter.acquire()

    anyio.run(main)
    assert limiter.statistics().granted == 3


def test_a_lock_that_is_not_released_is_an_error(
    path: Path, lock_holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._limits.file_bucket.LOCK_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(TransportError, match="cannot be used"):
        anyio.run(FileTokenBucket(path).acquire)


# Outages


def test_in_an_outage_the_local_limit_applies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """This process gets slots at rate / peers; after the outage it uses the file again. One warning is logged."""
    clock = Clock()
    limiter = FileTokenBucket(tmp_path / "folder" / "bucket", clock=clock, on_outage="local", peers=3)
    visit_bucket(limiter)
    (tmp_path / "folder").rename(tmp_path / "away")
    (tmp_path / "folder").touch()
    waits = [visit_bucket(limiter).wait for _ in range(3)]
    assert waits == pytest.approx([3 * DISTANCE, 6 * DISTANCE, 9 * DISTANCE], rel=0.05)
    assert len(caplog.records) == 1
    assert "this process alone sends 0.333333 requests/s" in caplog.text
    (tmp_path / "folder").unlink()
    (tmp_path / "away").rename(tmp_path / "folder")
    assert visit_bucket(limiter).wait > DISTANCE, "the file must not be tried again during the cooldown"
    clock.seconds += 100
    assert DISTANCE * 0.95 <= visit_bucket(limiter).wait <= DISTANCE, "this process may have sent a request just now"


@pytest.mark.parametrize("options", [{"on_outage": "ignore"}, {"on_outage": "local", "peers": 0}])
def test_invalid_outage_options_are_refused(options: dict[str, object], path: Path) -> None:
    with pytest.raises(InvalidCall, match=next(iter(reversed(options)))):
        FileTokenBucket(path, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "umask"), reason="POSIX")
def test_the_folder_belongs_to_this_user_only(tmp_path: Path) -> None:
    FileTokenBucket(tmp_path / "new" / "bucket")
    assert (tmp_path / "new").stat().st_mode & 0o77 == 0
