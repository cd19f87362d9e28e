"""What all tests stand on: both event loops, no network but loopback, and a limiter that does not make them wait."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.constants import KEY, TOKEN
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._limits.bucket_state import BucketState, Visit

pytest_plugins = ["tests.support.login_harness", "tests.support.secrecy", "tests.support.tcp"]

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _own_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The default limiter keeps its files where the tests of nobody else are, those of child processes included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails, by name."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address[0]}")
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


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another attempt comes at once."""
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.0)


@pytest.fixture
def fast() -> TokenBucket:
    """A limiter nobody waits for."""
    return TokenBucket(rate=1_000_000)


@pytest.fixture
def session_with(fast: TokenBucket) -> Callable[..., Session]:
    """Make a session that is answered by a function; the admin key unless ``auth`` says otherwise."""

    def make(handler: Handler, **options: Any) -> Session:
        auth = options.pop("auth", ApiKey(KEY))
        return Session("acme", auth, transport=httpx.MockTransport(handler), **{"limiter": fast, **options})

    return make


@pytest.fixture
def token() -> AccessToken:
    return AccessToken(TOKEN)


@pytest.fixture
def turns_taken(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each turn of any bucket is taken, by its clock."""
    times: list[float] = []
    advance = BucketState.advance

    def noted(self: BucketState, held: int | None, now: float) -> Visit:
        visit = advance(self, held, now)
        if visit.is_used:
            times.append(now)
        return visit

    monkeypatch.setattr(BucketState, "advance", noted)
    return times
