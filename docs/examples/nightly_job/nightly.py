"""Copy the projects, tasks, comments and costs of an account into a SQL database: ``python nightly.py [URL]``."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import create_engine, delete, select, update
from sqlalchemy.orm import Session, sessionmaker

from tables import Base, Comment, Cost, Position, Project, Task, store
from worksection_async import Cursor, Plan
from worksection_async.blocking import BlockingEventsSince, BlockingSession
from worksection_async.errors import EventsLost, NotFound, WorksectionError
from worksection_async.lookups import TaskTree

Database = sessionmaker[Session]

THREADS = 4
"""Calls at once: the reply to one can arrive after the next one may be sent."""


def main(url: str = "sqlite:///worksection.db?timeout=60") -> None:
    """Copy the account into the database at *url*; exit with an error message if that fails."""
    try:
        copy_account(url)
    except WorksectionError as error:
        sys.exit(f"{error} The next run continues here.")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The next run continues here.")


def copy_account(url: str) -> None:
    """Copy everything. A run that was interrupted or killed is continued by the next one."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)  # in a product: migrations
    database = sessionmaker(engine)
    console = Console(stderr=True)
    with BlockingSession.from_env() as session, Progress(console=console, disable=not console.is_terminal) as progress:
        ws = session.with_options(lane="bulk")  # calls of other programs go first
        copy_projects(ws, database)
        copy_tasks(ws, database, progress)
        copy_costs(ws, database, progress)
        copy_comments(ws, database, progress)


def copy_projects(ws: BlockingSession, database: Database) -> None:
    """Copy all projects, in one call."""
    rows = [
        {"id": project.id, "name": project.name, "status": project.status, "date_end": project.date_end}
        for project in ws.get_projects()
    ]
    with database.begin() as db:
        store(db, Project, rows)


def copy_tasks(ws: BlockingSession, database: Database, progress: Progress) -> None:
    """Copy all tasks, up to 10 000 per call, and mark those that were commented on since the last run."""
    with database() as db:
        position = db.get(Position, 1)
    # Before the tasks: the next run gets the events that happen meanwhile.
    events = ws.events_since(Cursor.from_json(position.cursor) if position else None)
    commented = commented_tasks(events)

    tree = TaskTree(ws.iter_tasks(extra=["subtasks", "archive"], progress=bar(progress, "tasks")))
    rows = [
        {
            "id": node.task.id,
            "parent_id": node.parent.task.id if node.parent else None,
            "project_id": node.task.project.id if node.task.project else None,
            "name": node.task.name,
            "status": node.task.status,
            "assignee": node.task.user_to.email if node.task.user_to else None,
            "date_end": node.task.date_end,
            "date_closed": node.task.date_closed,
        }
        for node in tree
    ]
    mark = update(Task).values(comments_due=Task.comments_due + 1)
    with database.begin() as db:
        store(db, Task, rows)
        db.execute(delete(Comment).where(Comment.task_id.not_in(select(Task.id))))
        db.execute(mark if commented is None else mark.where(Task.id.in_(commented)))
        store(db, Position, [{"id": 1, "cursor": events.cursor.to_json()}])


def commented_tasks(events: BlockingEventsSince) -> set[int | None] | None:
    """Return the ids of the tasks whose comments changed; None means that it can be any task."""
    try:
        return {event.id_task for event in events if event.object.type == "comment"}
    except EventsLost:  # the last run was more than 30 days ago, for example
        list(events)  # the later ones, so that the next run continues after them
        return None


def copy_costs(ws: BlockingSession, database: Database, progress: Progress) -> None:
    """Copy all costs, up to 10 000 per call; there are no events for them."""
    rows = [
        {
            "id": cost.id,
            "task_id": cost.task.id if cost.task else None,
            "member": cost.user_from.email if cost.user_from else None,
            "date": cost.date,
            "minutes": round(cost.time.total_seconds() / 60),
            "money": cost.money,
        }
        for cost in ws.iter_costs(progress=bar(progress, "costs"))
    ]
    with database.begin() as db:
        store(db, Cost, rows)


def copy_comments(ws: BlockingSession, database: Database, progress: Progress) -> None:
    """Copy the comments of the marked tasks, one call per task; each task is committed at once."""
    with database() as db:
        due = db.execute(select(Task.id, Task.comments_due).where(Task.comments_due > 0)).all()
    if not due:
        return
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda task: copy_comments_of(ws, database, *task), due)
        list(progress.track(done, total=len(due), description="comments"))


def copy_comments_of(ws: BlockingSession, database: Database, id_task: int, changes: int) -> None:
    """Copy the comments of one task, and with them the *changes* that were seen before."""
    try:
        comments = ws.get_comments(id_task)
    except NotFound:  # deleted since; the next run deletes its row
        return
    rows = [
        {
            "id": comment.id,
            "task_id": id_task,
            "author": comment.user_from.email if comment.user_from else None,
            "date_added": comment.date_added,
            "text": comment.text,
        }
        for comment in comments
    ]
    with database.begin() as db:
        # Another run may have seen a later change meanwhile.
        db.execute(update(Task).where(Task.id == id_task, Task.comments_due == changes).values(comments_due=0))
        store(db, Comment, rows, Comment.task_id == id_task)


def bar(progress: Progress, name: str) -> Callable[[Plan], None]:
    """Return a callback that shows the plan of a stream: the calls made, and those needed as far as is known."""
    task = progress.add_task(name)
    return lambda plan: progress.update(task, completed=plan.done, total=plan.calls)


if __name__ == "__main__":
    main(*sys.argv[1:])
