"""A Telegram bot for one Worksection project: ``/new TITLE`` creates a task, and the chat is told what happens."""

import asyncio
import contextlib
import logging
import math
import os
from html import escape

from telegram import Bot, LinkPreviewOptions, Update
from telegram.constants import ParseMode
from telegram.error import TelegramError
from telegram.ext import ApplicationBuilder, CommandHandler, ContextTypes, Defaults, filters

from worksection_async import FileCursor, Session
from worksection_async.errors import NotFound, WaitTooLong, WorksectionError
from worksection_async.models import Event, TaskRef

ACCOUNT = os.environ["WORKSECTION_ACCOUNT"]  # https://acme.worksection.com
PROJECT = int(os.environ["WORKSECTION_PROJECT"])
CHAT = int(os.environ["TELEGRAM_CHAT"])
EVERY = float(os.environ.get("POLL_SECONDS", "30"))

VERBS = {"post_task": "created", "close_task": "closed", "reopen_task": "reopened", "post_comment": "commented on"}

logger = logging.getLogger("bot")
ws = Session.from_env()
urgent = ws.with_options(lane="interactive", max_wait=10)
background = ws.with_options(lane="bulk", max_age=60)
position = FileCursor(os.environ.get("POSITION_FILE", "position.json"))


async def create_task(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """``/new TITLE``. A person waits, so the call goes before those of the notifications."""
    title = " ".join(context.args or [])
    try:
        text = f"Created {link(await urgent.post_task(PROJECT, title))}" if title else "Write: /new TITLE"
    except WaitTooLong as error:
        text = f"Worksection is busy. Try again in {math.ceil(error.eta)} seconds."
    except WorksectionError as error:
        text = escape(str(error))  # what happened, and whether the task may have been created
    if update.effective_message:
        await update.effective_message.reply_text(text)


async def message_for(event: Event) -> str | None:
    """Return the text of a message, as HTML; None if the event needs none."""
    if event.kind not in VERBS or event.id_task is None:
        return None
    try:
        task = await background.get_task(event.id_task)  # events do not contain the name
    except NotFound:
        return None  # it was deleted
    who = event.user_from.name if event.user_from else "Somebody"
    return f"{escape(who)} {VERBS[event.kind]} {link(task)}"


def link(task: TaskRef) -> str:
    """Return the name of the task as a link to its page."""
    return f'<a href="{escape(ACCOUNT + task.page)}">{escape(task.name)}</a>'


async def notify(bot: Bot) -> None:
    """Send a message for each event. The position is saved after each: a restarted bot misses none."""
    while True:
        try:
            async with ws.watch(projects=[PROJECT], every=EVERY, cursor=position) as watch:
                async for event in watch:
                    if text := await message_for(event):
                        await bot.send_message(CHAT, text)
        except (WorksectionError, TelegramError) as error:
            logger.warning("%s (next attempt in %g s)", error, EVERY)
            await asyncio.sleep(EVERY)


async def main() -> None:
    """Answer commands and send notifications until Ctrl-C."""
    builder = ApplicationBuilder().token(os.environ["TELEGRAM_TOKEN"]).concurrent_updates(True)
    builder.base_url(os.environ.get("TELEGRAM_API", "https://api.telegram.org/bot"))
    builder.defaults(Defaults(ParseMode.HTML, link_preview_options=LinkPreviewOptions(is_disabled=True)))
    application = builder.build()
    application.add_handler(CommandHandler("new", create_task, filters.Chat(CHAT)))
    async with ws, application:
        assert application.updater
        await application.updater.start_polling()
        await application.start()
        try:
            await notify(application.bot)
        finally:
            await application.updater.stop()
            await application.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)  # at INFO, httpx logs the URLs of Telegram, which contain the token
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
