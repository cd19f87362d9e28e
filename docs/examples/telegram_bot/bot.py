"""A Telegram bot for one Worksection project: ``/new TITLE`` creates a task, and the chat is informed of changes."""

import asyncio
import contextlib
import logging
import math
import os

from aiogram import Bot, Dispatcher, F, Router, html
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import AiogramError
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from worksection_async import FileCursor, Session
from worksection_async.errors import NotFound, WaitTooLong, WorksectionError
from worksection_async.models import Event, TaskRef

PROJECT = int(os.environ["WORKSECTION_PROJECT"])
CHAT = int(os.environ["TELEGRAM_CHAT"])
EVERY = float(os.environ.get("POLL_SECONDS", "30"))

VERBS = {"post_task": "created", "close_task": "closed", "reopen_task": "reopened", "post_comment": "commented on"}

logger = logging.getLogger("bot")
router = Router()
router.message.filter(F.chat.id == CHAT)
position = FileCursor(os.environ.get("POSITION_FILE", "position.json"))
answering = asyncio.Lock()  # held while a command is executed and answered
announced: set[int] = set()  # tasks that the chat knows from an answer


@router.message(Command("new"))
async def create_task(message: Message, command: CommandObject, ws: Session) -> None:
    """``/new TITLE``. A person waits, so the call goes before those of the notifications."""
    title = " ".join((command.args or "").split())
    if not title:
        await message.reply("Write: /new TITLE")
        return
    async with answering:
        try:
            task = await ws.with_options(lane="interactive", max_wait=10).post_task(PROJECT, title)
        except WaitTooLong as error:
            await message.reply(f"Worksection is busy. Try again in {math.ceil(error.eta)} seconds.")
        except WorksectionError as error:
            await message.reply(html.quote(str(error)))  # what happened, and whether the task may have been created
        else:
            await message.reply(f"Created {link(ws, task)}")
            announced.add(task.id)


async def message_for(event: Event, ws: Session) -> str | None:
    """Return the text of a message, as HTML; None if the event needs none."""
    if event.kind not in VERBS or event.id_task is None:
        return None
    if event.kind == "post_task":
        async with answering:  # the event of a task can come before the answer
            if event.id_task in announced:
                return None
    try:
        task = await ws.with_options(lane="bulk", max_age=60).get_task(event.id_task)  # events do not contain the name
    except NotFound:
        return None  # it was deleted
    who = event.user_from.name if event.user_from else "Somebody"
    return f"{html.quote(who)} {VERBS[event.kind]} {link(ws, task)}"


def link(ws: Session, task: TaskRef) -> str:
    """Return the name of the task as a link to its page."""
    return html.link(html.quote(task.name), html.quote(ws.account_url + task.page))


async def notify(bot: Bot, ws: Session) -> None:
    """Send a message for each event. The position is saved after each: a restarted bot misses none."""
    while True:
        try:
            async with ws.watch(projects=[PROJECT], every=EVERY, cursor=position) as watch:
                async for event in watch:
                    if text := await message_for(event, ws):
                        await bot.send_message(CHAT, text)
        except (WorksectionError, AiogramError) as error:
            logger.warning("%s (next attempt in %g s)", error, EVERY)
            await asyncio.sleep(EVERY)


async def main() -> None:
    """Answer commands and send notifications until Ctrl-C or SIGTERM."""
    server = TelegramAPIServer.from_base(os.environ.get("TELEGRAM_API", "https://api.telegram.org"))
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    bot = Bot(os.environ["TELEGRAM_TOKEN"], session=AiohttpSession(api=server), default=defaults)
    async with Session.from_env() as ws, bot, asyncio.TaskGroup() as tasks:
        notifications = tasks.create_task(notify(bot, ws))
        dispatcher = Dispatcher(ws=ws)
        dispatcher.include_router(router)
        await dispatcher.start_polling(bot, close_bot_session=False)
        async with answering:  # after the commands that have begun
            notifications.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
