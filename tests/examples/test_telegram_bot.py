"""The bot of docs/examples/telegram_bot, with a simulated Telegram and a simulated account."""

from __future__ import annotations

import contextlib
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
from tests.support.login_harness import free_port
from tests.support.readme import Program
from tests.support.telegram import CHAT, TOKEN, Telegram
from worksection_async._transport.clock import Clock
from worksection_async.testing import Simulator, faults

INSTALL_AND_DEMO, COMMENT = readme.console_blocks(DOCS / "examples" / "telegram_bot" / "README.md")
[RUN] = readme.real_account_blocks("Telegram")


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
        """Start the bot as the documentation does for a real account."""
        values = {"WORKSECTION_API_KEY": self.sim.api_key, "TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT": str(CHAT)}
        script = filled(RUN, values).replace("https://acme.worksection.com", self.service)
        script = script.replace("position.json", str(self.folder / "position.json"))
        settings = {"TELEGRAM_API": self.api, "POLL_SECONDS": "0.1"}
        return readme.program(script, self.folder / "log", **settings, WORKSECTION_LOG="debug", PYTHONWARNINGS="error")

    def comment(self, id_task: int) -> None:
        """Let Kate comment on a task."""
        kate = "kate.greenway@ws.com"
        comment = self.sim.add_comment(self.sim.tasks[id_task], "Hi", user_from=kate)
        anyio.run(lambda: self.sim.emit("post", comment, user_from=kate))


@contextlib.contextmanager
def new_world(folder: Path) -> Iterator[World]:
    clock, telegram = FastForwarded(), Telegram()
    sim = Simulator(rate=1.0, clock=clock)
    with sim.serve() as service, telegram.served() as api:
        yield World(telegram, api, sim, clock, service, folder)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as world:
        yield world


@pytest.fixture(scope="module", name="running")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Program]]:
    """A running bot for several tests, because the import of aiogram takes seconds."""
    with new_world(tmp_path_factory.mktemp("bot")) as world, world.bot() as bot:
        bot.wait_until((world.folder / "position.json").exists)
        yield world, bot


@pytest.fixture(name="shared")
def _shared(running: tuple[World, Program]) -> tuple[World, Program]:
    """The running bot; ``sent`` contains the messages of one test."""
    running[0].telegram.sent.clear()
    return running


def filled(script: str, values: dict[str, str]) -> str:
    """Return a script of the documentation with real values in the place of the examples."""
    return re.sub(r"(\w+)=…", lambda found: f"{found[1]}={values[found[1]]}", script)


def plain(texts: list[str]) -> list[str]:
    """Return messages without their markup."""
    return [re.sub("<.*?>", "", text) for text in texts]


def test_the_demo_creates_a_task_and_tells_of_a_comment(world: World) -> None:
    install, demo = INSTALL_AND_DEMO.split("\n", 1)
    script = filled(demo, {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT": str(CHAT)})
    telegram, port = world.telegram, free_port()
    assert readme.missing_requirements(install) == []
    with readme.program(f"{script} {port}", world.folder / "log", TELEGRAM_API=world.api) as running:
        telegram.say("/new Launch")
        running.wait_until(lambda: telegram.sent)
        readme.run(COMMENT.replace(":8010", f":{port}"))
        running.wait_until(lambda: len(telegram.sent) == 2)
        assert running.interrupt() == 0
    created, told = telegram.sent
    assert re.fullmatch(rf'Created <a href="http://127.0.0.1:{port}/project/26/\d+/">Launch</a>', created)
    assert plain([told]) == ["Kate Greenway commented on Read the documentation"]


def test_a_command_goes_in_the_interactive_lane_and_only_from_the_own_chat(shared: tuple[World, Program]) -> None:
    world, bot = shared
    sent = world.telegram.sent
    world.telegram.say("/new Not mine", chat=666)
    world.telegram.say("/new")
    world.telegram.say("/new R&D <2>")
    bot.wait_until(lambda: len(sent) == 2)
    lanes = set(re.findall(r"call (post_task|get_events): .*lane: (\w+)", bot.output()))
    assert lanes == {("post_task", "interactive"), ("get_events", "bulk")}
    assert [task.name for task in world.sim.tasks.values()][-1] == "R&D <2>"
    assert "Not mine" not in {task.name for task in world.sim.tasks.values()}
    usage, created = sorted(sent, reverse=True)
    assert usage == "Write: /new TITLE"
    assert ">R&amp;D &lt;2&gt;</a>" in created


def test_the_chat_is_told_once_of_its_own_task(shared: tuple[World, Program]) -> None:
    """Also if the event comes before the reply to the call."""
    world, bot = shared
    sent = world.telegram.sent
    world.sim.fail("post_task", faults.delay(3))
    world.telegram.say("/new Launch")
    bot.wait_until(lambda: sent)
    world.comment(2601)
    bot.wait_until(lambda: len(sent) == 2)
    assert plain(sent) == ["Created Launch", "Kate Greenway commented on Read the documentation"]


def test_a_task_whose_answer_was_lost_is_told_by_a_notification(shared: tuple[World, Program]) -> None:
    world, bot = shared
    sent = world.telegram.sent
    world.telegram.refusals = 1
    world.telegram.say("/new Lost")
    bot.wait_until(lambda: sent)
    assert plain(sent) == ["Henry Gardner created Lost"]


def test_a_message_that_telegram_refuses_is_sent_again(shared: tuple[World, Program]) -> None:
    world, bot = shared
    sent = world.telegram.sent
    world.telegram.refusals = 1
    world.comment(2601)
    bot.wait_until(lambda: sent)
    world.comment(2602)
    bot.wait_until(lambda: len(sent) == 2)
    assert world.telegram.refusals == 0
    assert ["Read the documentation" in sent[0], "Write a program" in sent[1]] == [True, True]
    assert bot.output().count("next attempt in 0.1 s") == 1
    assert TOKEN not in bot.output()


def test_a_command_that_has_begun_is_answered_before_the_bot_ends(world: World) -> None:
    world.sim.fail("post_task", faults.delay(1))
    with world.bot() as bot:
        world.telegram.say("/new Launch")
        bot.wait_until(lambda: "Launch" in {task.name for task in world.sim.tasks.values()})
        assert bot.interrupt() == 0
        assert "Traceback" not in bot.output()
    assert plain(world.telegram.sent) == ["Created Launch"]


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
        assert bot.interrupt() == 0
        assert "Unclosed" not in bot.output()  # as aiohttp says of a connection
    *first, last = plain(told)
    assert set(first) == {"Kate Greenway commented on Read the documentation"}
    assert len(first) <= 2  # again, if the bot was killed before it saved the position
    assert last == "Kate Greenway commented on Write a program"


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
