"""The steps of the demo. Each makes typical calls and checks the results by reading them back."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import attrs
from rich.table import Table

from ..errors import NotFound
from ..models import Comment, Costs, Event, Member, Project, Task, plain
from . import _text as text
from ._demo_session import DemoSession
from ._screen import Screen, narrow, number, table

SHOWN_PROJECTS = 3
SHOWN_TASKS = 3
SHOWN_EVENTS = 6

UNKNOWN_TASK_ID = 999_999_999

CHECKLIST = "1. Read the table of actions\n2. Write ten lines\n3. Go home early ☼\n".encode()


@attrs.frozen
class Created:
    """The records of `create_task`, for the following steps."""

    task: Task
    subtask: Task
    comment: Comment
    author: Member


async def list_tasks(ws: DemoSession, screen: Screen) -> list[Project]:
    screen.step("List projects and tasks")
    projects = await ws.get_projects(filter="active")
    listing = table(narrow("project", 23), narrow("task", 24), narrow("assignee", 13), number("due"))
    misplaced: list[int] = []
    for project in projects[:SHOWN_PROJECTS]:
        tasks = await ws.get_tasks(project.id)
        _add_project(listing, project, tasks)
        misplaced += [task.id for task in tasks if task.project and task.project.id != project.id]
    screen.show(listing)
    screen.check("each task belongs to the requested project", not misplaced, misplaced)
    return projects


def _add_project(listing: Table, project: Project, tasks: Sequence[Task]) -> None:
    name = text.printable(project.name)
    for task in tasks[:SHOWN_TASKS]:
        listing.add_row(
            name, text.printable(task.name), text.format_user(task.user_to), text.format_date(task.date_end)
        )
        name = ""
    if name:
        listing.add_row(name, "no tasks")
    if len(tasks) > SHOWN_TASKS:
        listing.add_row("", f"and {len(tasks) - SHOWN_TASKS} more")


async def create_task(ws: DemoSession, screen: Screen, project: Project) -> Created:
    screen.step("Create a task with a subtask, a file and a comment")
    [author, *_] = await ws.get_users()
    due = dt.date.today() + dt.timedelta(days=7)
    task = await ws.post_task(project.id, "Meet the client", dateend=due, attach=[("checklist.txt", CHECKLIST)])
    subtask = await ws.post_task(project.id, "Make the coffee", id_parent=task.id)
    comment = await ws.post_comment(task.id, text="Tea will do, too.", email_user_from=author.email)
    created = Created(task, subtask, comment, author)
    await _read_back(ws, screen, created, due)
    return created


async def _read_back(ws: DemoSession, screen: Screen, created: Created, due: dt.date) -> None:
    found = await ws.get_task(created.task.id, extra=["subtasks", "comments", "files"])
    children = [child.id for child in found.child]
    texts = [comment.text for comment in found.comments]
    names = [file.name for file in found.files]
    task = (found.name, found.date_end)
    screen.check("the task exists and is due in a week", task == ("Meet the client", due), task)
    screen.check("the task has the subtask", children == [created.subtask.id], children)
    screen.check("the task has the comment", texts == [created.comment.text] == ["Tea will do, too."], texts)
    screen.check("the task has the file", names == ["checklist.txt"], names)
    for file in found.files:
        content = await ws.download(file.id)
        screen.check(f"the download of {file.name} is identical to the upload", content == CHECKLIST, content)


async def tag_task(ws: DemoSession, screen: Screen, task: Task) -> None:
    screen.step("Tag the task")
    wanted = (await ws.get_task_tags(type="status"))[:1]
    await ws.update_task_tags(task.id, plus=[tag.id for tag in wanted])
    found = await ws.get_task(task.id, extra=["tags"])
    names = " and ".join(tag.title for tag in wanted)
    screen.check(f"the task has the tag {names}", found.tags == {tag.id: tag.title for tag in wanted}, found.tags)


async def add_costs(ws: DemoSession, screen: Screen, created: Created) -> None:
    screen.step("Add costs: time and money")
    task, email = created.task, created.author.email
    time, money = dt.timedelta(minutes=90), Decimal("120.50")
    await ws.add_costs(task.id, time=time, comment="The meeting", email_user_from=email)
    await ws.add_costs(task.id, money=money, comment="The coffee", email_user_from=email)
    found = await ws.get_costs(id_task=task.id)
    screen.show(_costs_table(found))
    total = found.total and (found.total.time, found.total.money)
    screen.check("the total equals the sum of the entries", total == (time, money), total)


def _costs_table(costs: Costs) -> Table:
    rows = table("date", narrow("user", 20), "comment", number("time"), number("money"))
    for cost in costs.data:
        entered = text.format_duration(cost.time), text.format_money(cost.money)
        rows.add_row(
            text.format_date(cost.date), text.format_user(cost.user_from), text.printable(plain(cost.comment)), *entered
        )
    if costs.total:
        total = text.format_duration(costs.total.time), text.format_money(costs.total.money)
        rows.add_row("total", "", "", *total, style="bold")
    return rows


async def show_costs_of_month(ws: DemoSession, screen: Screen) -> None:
    screen.step("Costs of this month")
    today = dt.date.today()
    costs = await ws.get_costs_total(datestart=today.replace(day=1), dateend=today, extra=["projects"])
    rows = table(narrow("project", 40), number("time"), number("money"))
    for project in list(costs.projects.values())[:SHOWN_PROJECTS]:
        rows.add_row(text.printable(project.name), text.format_duration(project.time), text.format_money(project.money))
    if costs.total:
        rows.add_row(
            "total", text.format_duration(costs.total.time), text.format_money(costs.total.money), style="bold"
        )
    screen.show(rows)
    screen.check("the reply has a total", costs.total is not None, costs)


async def close_tasks(ws: DemoSession, screen: Screen, project: Project, created: Created) -> None:
    screen.step("Close the subtask and the task")
    await ws.complete_task(created.subtask.id)
    await ws.complete_task(created.task.id)
    done = {task.id for task in await ws.search_tasks(id_project=project.id, status="done")}
    screen.check("the search finds both closed tasks", {created.task.id, created.subtask.id} <= done, sorted(done))


async def list_events_of_task(ws: DemoSession, screen: Screen, project: Project, created: Created) -> None:
    screen.step("Events of the last five minutes")
    found = await ws.get_events(dt.timedelta(minutes=5), id_project=project.id)
    screen.show(_events_table(found))
    listed = {(event.action, event.object.type, event.object.id) for event in found}
    task, subtask, comment = created.task.id, created.subtask.id, created.comment.id
    posted = {("post", "task", task), ("post", "task", subtask), ("post", "comment", comment)}
    closed = {("close", "task", task), ("close", "task", subtask)}
    screen.check("all three creations are listed", posted <= listed, sorted(posted - listed))
    screen.check("both closed tasks are listed", closed <= listed, sorted(closed - listed))


async def list_recent_events(ws: DemoSession, screen: Screen) -> None:
    screen.step("Events of the last day")
    found = await ws.get_events("1d")
    screen.show(_events_table(found))
    undated = [event for event in found if event.date_added is None]
    screen.check("every event has a time", not undated, undated)


def _events_table(events: Sequence[Event]) -> Table:
    rows = table("time", narrow("user", 24), "action", "object", number("id"))
    for event in events[:SHOWN_EVENTS]:
        time = f"{event.date_added:%H:%M}" if event.date_added else ""
        values = [text.printable(str(value)) for value in (event.action, event.object.type, event.object.id)]
        rows.add_row(time, text.format_user(event.user_from), *values)
    if not events:
        rows.add_row("", "no events")
    if len(events) > SHOWN_EVENTS:
        rows.add_row("", f"and {len(events) - SHOWN_EVENTS} more")
    return rows


async def show_error(ws: DemoSession, screen: Screen) -> None:
    screen.step("The error of an invalid call")
    try:
        found = await ws.get_task(UNKNOWN_TASK_ID)
    except NotFound as error:
        screen.quote(str(error))
        screen.check("an unknown task raises NotFound", is_true=True)
    else:
        screen.check("an unknown task raises NotFound", is_true=False, actual=found)
