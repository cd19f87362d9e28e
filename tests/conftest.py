"""Fixtures and rules for all tests: both event loops, loopback only, and a limiter without waiting time.

A test with ``pytest.mark.anyio`` runs on asyncio and on trio. If it also has many data rows, and the rows do not
depend on the event loop, mark it with ``one_row_on_trio``: every row runs on asyncio, but only the first one on trio.
``one_row_on_trio("kind")`` keeps one row on trio for each value of the parameter *kind*. The marker may be a part of
a module's ``pytestmark``. Do not use it where the loop matters for each row: cancellation, locks, threads, closing of
loops, failures of real sockets.

A test without any need for trio (for example a slow one) runs on asyncio only with
``@pytest.mark.parametrize("anyio_backend", ["asyncio"])``.

With the option ``--first-rows`` only the first row of each test runs.
"""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import hypothesis
import pytest

from tests.support.constants import KEY, TOKEN
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._limits.bucket_state import BucketState, Visit

pytest_plugins = [
    "tests.support.login_harness",
    "tests.support.postgres",
    "tests.support.secrecy",
    "tests.support.tcp",
    "tests.support.valkey",
]

collect_ignore = ["user_project"]  # `nox -s wheel` runs it

Handler = Callable[[httpx.Request], httpx.Response]

MAX_ID_LENGTH = 1000

# The defaults measure real time (200 ms per example), so that tests fail on a busy machine.
hypothesis.settings.register_profile(
    "any_speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any_speed")


# Event loops


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first-rows", action="store_true", help="run only the first row of each test")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "one_row_on_trio(*parameters): run all rows on asyncio; on trio one per value of *parameters*"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse ids that contain data, and deselect the rows that ``one_row_on_trio`` or ``--first-rows`` make redundant.

    Alone, by its node id, such a row still runs.
    """
    for item in items:
        if len(item.nodeid) > MAX_ID_LENGTH:  # pytest-xdist sends it from process to process, for each of three phases
            raise pytest.UsageError(f"the id of a test has {len(item.nodeid)} characters: {item.nodeid[:200]}…")
    promise_of = _test_of if config.getoption("first_rows") else _promise_on_trio
    redundant, represented = [], set()
    for item in items:
        promise = promise_of(item)
        if promise is None:
            continue
        if promise in represented:
            redundant.append(item)
        represented.add(promise)
    if redundant:
        config.hook.pytest_deselected(items=redundant)
        dropped = set(redundant)
        items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude the collected items and the imported modules from garbage collection.

    They are half a million objects, which otherwise take a quarter of a second in each full collection.
    """
    gc.collect()
    gc.freeze()


def _test_of(item: pytest.Item) -> tuple[object, ...]:
    return (item.nodeid.partition("[")[0],)


def _promise_on_trio(item: pytest.Item) -> tuple[object, ...] | None:
    """Return what one row on trio has to represent, or None if the item runs anyway."""
    marker, row = item.get_closest_marker("one_row_on_trio"), getattr(item, "callspec", None)
    if marker is None or row is None or row.params.get("anyio_backend") != "trio":
        return None
    return (item.nodeid.partition("[")[0], *(row.indices[parameter] for parameter in marker.args))


# Isolation


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """SIGINT interrupts the programs that tests start, even if the suite runs in the background of a shell script.

    Such a shell lets its children ignore SIGINT, and they pass that on to the programs that they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _private_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The default limiter stores its files in a folder of this test run; child processes inherit the setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections and look-ups of other hosts fail, with the name of the host."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to connect to {address[0]}")
        connect(self, address)

    def resolved(host: Any, *rest: Any, **options: Any) -> Any:
        if host is not None and not _is_loopback(host if isinstance(host, str) else host.decode()):
            raise AssertionError(f"a test tried to look up {host}")
        return getaddrinfo(host, *rest, **options)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


# Sessions and limiters


@pytest.fixture
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow without a delay."""
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.0)


@pytest.fixture
def fast_limiter() -> TokenBucket:
    """A limiter with a slot every microsecond."""
    return TokenBucket(rate=1_000_000)


@pytest.fixture
def session_with(fast_limiter: TokenBucket) -> Callable[..., Session]:
    """Return a function that makes a session with a mock transport; ``auth`` is the admin key by default."""

    def make(handler: Handler, **options: Any) -> Session:
        auth = options.pop("auth", ApiKey(KEY))
        return Session("acme", auth, transport=httpx.MockTransport(handler), **{"limiter": fast_limiter, **options})

    return make


@pytest.fixture
def token() -> AccessToken:
    return AccessToken(TOKEN)


@pytest.fixture
def slot_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times (on the bucket's clock) of all slots that any bucket grants during the test."""
    times: list[float] = []
    advance = BucketState.advance

    def recording(self: BucketState, held: int | None, now: float) -> Visit:
        visit = advance(self, held, now)
        if visit.is_used:
            times.append(now)
        return visit

    monkeypatch.setattr(BucketState, "advance", recording)
    return times
