"""Fixtures of the command line: a simulated account in the environment, and no other one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worksection_async import Session, TokenBucket
from worksection_async.testing import Simulator


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ACCOUNT", "API_KEY", "ACCESS_TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"WORKSECTION_{name}", raising=False)
    for name in ("FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator on a socket; the environment variables name it as the account, and there is no rate limit."""
    simulator, from_env = Simulator(), Session.from_env

    def without_limit(**options: Any) -> Session:
        return from_env(limiter=TokenBucket(1e6), **options)

    with simulator.serve() as url:
        monkeypatch.setenv("WORKSECTION_ACCOUNT", url)
        monkeypatch.setenv("WORKSECTION_API_KEY", simulator.api_key)
        monkeypatch.setattr(Session, "from_env", without_limit)
        yield simulator
