"""The bot of docs/examples/telegram_bot, with a simulated Telegram and a simulated account."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import anyio
import attrs
import pytest

from tests.support import readme
from tests.support.constants import DOCS
from tests.support.readme import Program
from tests.support.telegram import CHAT, TOKEN, Telegram
from worksection_async._transport.clock import Clock
from worksection_async.testing import Simulator, faults

INSTALL_AND_DEMO, RUN = readme.console_blocks(DOCS / "examples" / "telegram_bot" / "README.md")


class FastForwarded(Clock):
    """A clock that can be set ahead; time goes on as usual."""

    ahead = 0.0
    """Seconds."""

    def time(self) -> float:
        return time.time() + self.ahead


@attrs.frozen
class World:
    """A Telegram, an account, and the folder of the bot."""

    telegram: Telegram
    api: str
    sim: Simulator
    clock: FastForwarded
    service: str
    folder: Path

    def bot(self) -> AbstractContextManager[Program]:
        """Start the bot as the README does for a real account."""
        values = {"WORKSECTION_API_KEY": self.sim.api_key, "TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT": str(CHAT)}
        script = filled(RUN, values).replace("https://acme.worksection.com", self.service)
        script = script.replace("position.json", str(self.folder / "position.json"))
        return readme.program(
            script, self.folder / "log", TELEGRAM_API=self.api, POLL_SECONDS="0.1", WORKSECTION_LOG="debug"
        )

    def comment(self, id_task: int) -> None:
        """Let Kate comment on a task."""
        kate = "kate.greenway@ws.com"
        comment = self.sim.add_comment(self.sim.tasks[id_task], "Hi", user_from=kate)
        anyio.run(lambda: self.sim.emit("post", comment, user_from=kate))


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    clock, telegram = FastForwarded(), Telegram()
    sim = Simulator(rate=1.0, clock=clock)
    with sim.serve() as service, telegram.served() as api:
        yield World(telegram, api, sim, clock, service, tmp_path)


def filled(script: str, values: dict[str, str]) -> str:
    """Return a script of the README with real values in the place of the examples."""
    return re.sub(r"(\w+)=…", lambda found: f"{found[1]}={values[found[1]]}", script)


def test_the_demo_creates_a_task_and_tells_the_chat(world: World) -> None:
    install, demo = INSTALL_AND_DEMO.split("\n", 1)
    script = filled(demo, {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT": str(CHAT)})
    telegram = world.telegram
    assert readme.missing_requirements(install) == []
    with readme.program(script, world.folder / "log", TELEGRAM_API=world.api) as running:
        telegram.say("/new Launch")
        running.wait_until(lambda: len(telegram.sent) == 2)
        assert running.interrupt() == 0
    created, told = sorted(telegram.sent)
    assert re.fullmatch(r'Created <a href="http://127.0.0.1:\d+/project/26/\d+/">Launch</a>', created)
    assert told == created.replace("Created", "Henry Gardner created")


def test_a_command_goes_in_the_interactive_lane_and_only_from_the_own_chat(world: World) -> None:
    telegram = world.telegram
    with world.bot() as bot:
        telegram.say("/new Not mine", chat=666)
        telegram.say("/new")
        telegram.say("/new R&D <2>")
        bot.wait_until(lambda: len(telegram.sent) >= 3)
        lanes = set(re.findall(r"call (post_task|get_events): .*lane: (\w+)", bot.output()))
    assert lanes == {("post_task", "interactive"), ("get_events", "bulk")}
    assert [task.name for task in world.sim.tasks.values()][-1] == "R&D <2>"
    assert "Not mine" not in {task.name for task in world.sim.tasks.values()}
    usage, created, told = sorted(telegram.sent, key=lambda text: ("Henry" in text, "Created" in text))
    assert usage == "Write: /new TITLE"
    assert ">R&amp;D &lt;2&gt;</a>" in created
    assert ">R&amp;D &lt;2&gt;</a>" in told


def test_a_killed_bot_tells_after_its_restart_what_happened_in_the_meantime(world: World) -> None:
    told = world.telegram.sent
    with world.bot() as bot:
        bot.wait_until((world.folder / "position.json").exists)
        world.comment(2601)
        bot.wait_until(lambda: told)
        bot.kill()
    world.clock.ahead += 3600
    world.comment(2602)
    world.clock.ahead += 3600  # a watch without a position would begin here
    with world.bot() as bot:
        bot.wait_until(lambda: "Write a program" in told[-1])
    *first, last = [re.sub("<.*?>", "", text) for text in told]
    assert set(first) == {"Kate Greenway commented on Read the documentation"}
    assert len(first) <= 2  # again, if the bot was killed before it saved the position
    assert last == "Kate Greenway commented on Write a program"


def test_a_message_that_telegram_refuses_is_sent_again(world: World) -> None:
    telegram = world.telegram
    telegram.refusals = 1
    with world.bot() as bot:
        bot.wait_until((world.folder / "position.json").exists)
        world.comment(2601)
        bot.wait_until(lambda: telegram.sent)
        world.comment(2602)
        bot.wait_until(lambda: len(telegram.sent) == 2)
        output = bot.output()
    assert telegram.refusals == 0
    assert ["Read the documentation" in telegram.sent[0], "Write a program" in telegram.sent[1]] == [True, True]
    assert output.count("next attempt in 0.1 s") == 1
    assert TOKEN not in output


def test_a_person_is_told_when_the_account_is_busy(world: World) -> None:
    sent = world.telegram.sent
    world.sim.fail("post_task", faults.too_many_requests(status=429, retry_after=50))
    with world.bot() as bot:
        world.telegram.say("/new Launch")
        bot.wait_until(lambda: sent)
        world.telegram.say("/new Launch")
        bot.wait_until(lambda: len(sent) == 2)
    assert "the service refused" in sent[0]
    assert re.fullmatch(r"Worksection is busy. Try again in \d\d seconds.", sent[1])
    assert "Launch" not in {task.name for task in world.sim.tasks.values()}
