"""A chat bot: "/new TITLE" creates a task, and every closed task is reported in the chat."""

from collections.abc import Awaitable, Callable

from worksection_async import Session
from worksection_async.errors import WaitTooLong, WorksectionError

Say = Callable[[str], Awaitable[None]]


async def answer(ws: Session, id_project: int, text: str) -> str:
    """Return the answer to a message."""
    command, _, title = text.partition(" ")
    if command != "/new" or not title:
        return "Write /new and a title."
    try:
        task = await ws.with_options(lane="interactive", max_wait=5).post_task(id_project, title)
    except WaitTooLong as busy:
        return f"Worksection is busy, try again in {busy.eta:.0f} seconds."
    except WorksectionError as error:
        return f"No task was created: {error}" if not error.sent else f"Please check whether the task exists: {error}"
    return f"Created task {task.id}."


async def report_closed_tasks(ws: Session, say: Say) -> None:
    """Report closed tasks in the chat, without end."""
    async for event in ws.watch(every=60):
        if event.kind == "close_task":
            await say(f"Task {event.object.id} is done.")
