"""Thousands of calls with random faults lose nothing, double nothing and leak nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.reliability.soak import soak

CALLS = 2_000
"""In the suite; ``nox -s soak`` makes 10 000 calls."""


def test_random_faults_lose_nothing_and_leak_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of a failure is in the captured output: ``nox -s soak -- 2000 SEED`` repeats it."""
    seed = random.randrange(10**6)
    print(f"{CALLS} calls, seed {seed}")
    monkeypatch.setattr("worksection_async._protocol.structure.CACHE_SIZE", 16)  # a full cache no longer grows
    monkeypatch.setattr("os.fsync", lambda _: None)  # hundreds of them take minutes on a busy disk
    print(asyncio.run(soak(CALLS, seed, tmp_path)))
