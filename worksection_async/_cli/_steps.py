"""The steps of the demo: each does a piece of a day's work, and reads back what became of it."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import attrs
from rich.table import Table

from ..errors import NotFound
from ..models import Comment, Costs, Event, Member, Project, Task
from . import _words as words
from ._guide import Guide
from ._screen import Screen, narrow, number, table

SHOWN_PROJECTS = 3
SHOWN_TASKS = 3
SHOWN_EVENTS = 6

NOBODYS_TASK = 999_999_999

CHECKLIST = "1. Read the table of actions\n2. Write ten lines\n3. Go home early ☼\n".encode()


@attrs.frozen
class Created:
    """What a step made for those after it."""

    task: Task
    subtask: Task
    comment: Comment
    author: Member


async def survey(ws: Guide, screen: Screen) -> list[Project]:
    screen.step("Projects and their tasks")
    projects = await ws.get_projects(filter="active")
    listing = table(narrow("project", 23), narrow("task", 24), narrow("for", 13), number("due"))
    strays: list[int] = []
    for project in projects[:SHOWN_PROJECTS]:
        tasks = await ws.get_tasks(project.id)
        _add_project(listing, project, tasks)
        strays += [task.id for task in tasks if task.project and task.project.id != project.id]
    screen.show(listing)
    screen.check("every task names the project it was asked of", not strays, strays)
    return projects


def _add_project(listing: Table, project: Project, tasks: Sequence[Task]) -> None:
    name = words.printable(project.name)
    for task in tasks[:SHOWN_TASKS]:
        listing.add_row(name, words.printable(task.name), words.person(task.user_to), words.day(task.date_end))
        name = ""
    if name:
        listing.add_row(name, "no tasks")
    if len(tasks) > SHOWN_TASKS:
        listing.add_row("", f"and {len(tasks) - SHOWN_TASKS} more")


async def creation(ws: Guide, screen: Screen, project: Project) -> Created:
    screen.step("A task with a subtask, a file and a comment")
    [author, *_] = await ws.get_users()
    due = dt.date.today() + dt.timedelta(days=7)
    task = await ws.post_task(project.id, "Meet the client", dateend=due, attach=[("checklist.txt", CHECKLIST)])
    subtask = await ws.post_task(project.id, "Make the coffee", id_parent=task.id)
    comment = await ws.post_comment(task.id, text="Tea will do, too.", email_user_from=author.email)
    created = Created(task, subtask, comment, author)
    await _read_back(ws, screen, created, due)
    return created


async def _read_back(ws: Guide, screen: Screen, created: Created, due: dt.date) -> None:
    found = await ws.get_task(created.task.id, extra=["subtasks", "comments", "files"])
    children = [child.id for child in found.child]
    texts = [comment.text for comment in found.comments]
    names = [file.name for file in found.files]
    what = (found.name, found.date_end)
    screen.check("the task is there, due in a week", what == ("Meet the client", due), what)
    screen.check("the subtask is below it", children == [created.subtask.id], children)
    screen.check("the comment is on it", texts == [created.comment.text] == ["Tea will do, too."], texts)
    screen.check("the file is in it", names == ["checklist.txt"], names)
    for file in found.files:
        content = await ws.download(file.id)
        screen.check(f"{file.name} comes back byte for byte", content == CHECKLIST, content)


async def tags(ws: Guide, screen: Screen, task: Task) -> None:
    screen.step("Tags")
    wanted = (await ws.get_task_tags(type="status"))[:1]
    await ws.update_task_tags(task.id, plus=[tag.id for tag in wanted])
    found = await ws.get_task(task.id, extra=["tags"])
    names = " and ".join(tag.title for tag in wanted)
    screen.check(f"the task is tagged {names}", found.tags == {tag.id: tag.title for tag in wanted}, found.tags)


async def costs(ws: Guide, screen: Screen, created: Created) -> None:
    screen.step("Costs: time and money")
    task, email = created.task, created.author.email
    time, money = dt.timedelta(minutes=90), Decimal("120.50")
    await ws.add_costs(task.id, time=time, comment="The meeting", email_user_from=email)
    await ws.add_costs(task.id, money=money, comment="The coffee", email_user_from=email)
    found = await ws.get_costs(id_task=task.id)
    screen.show(_bill(found))
    total = found.total and (found.total.time, found.total.money)
    screen.check("the total is what was entered", total == (time, money), total)


def _bill(costs: Costs) -> Table:
    bill = table("day", narrow("who", 20), "what", number("time"), number("money"))
    for cost in costs.data:
        entered = words.clock(cost.time), words.money(cost.money)
        bill.add_row(words.day(cost.date), words.person(cost.user_from), words.printable(cost.comment), *entered)
    if costs.total:
        total = words.clock(costs.total.time), words.money(costs.total.money)
        bill.add_row("total", "", "", *total, style="bold")
    return bill


async def month(ws: Guide, screen: Screen) -> None:
    screen.step("Costs of this month")
    today = dt.date.today()
    costs = await ws.get_costs_total(datestart=today.replace(day=1), dateend=today, extra=["projects"])
    bill = table(narrow("project", 40), number("time"), number("money"))
    for project in list(costs.projects.values())[:SHOWN_PROJECTS]:
        bill.add_row(words.printable(project.name), words.clock(project.time), words.money(project.money))
    if costs.total:
        bill.add_row("total", words.clock(costs.total.time), words.money(costs.total.money), style="bold")
    screen.show(bill)
    screen.check("the service names a total", costs.total is not None, costs)


async def closing(ws: Guide, screen: Screen, project: Project, created: Created) -> None:
    screen.step("Closing the subtask, then the task")
    await ws.complete_task(created.subtask.id)
    await ws.complete_task(created.task.id)
    done = {task.id for task in await ws.search_tasks(id_project=project.id, status="done")}
    screen.check("both are found among the finished", {created.task.id, created.subtask.id} <= done, sorted(done))


async def events(ws: Guide, screen: Screen, project: Project, created: Created) -> None:
    screen.step("What happened in the last five minutes")
    found = await ws.get_events(dt.timedelta(minutes=5), id_project=project.id)
    screen.show(_chronicle(found))
    seen = {(event.action, event.object.type, event.object.id) for event in found}
    task, subtask, comment = created.task.id, created.subtask.id, created.comment.id
    posted = {("post", "task", task), ("post", "task", subtask), ("post", "comment", comment)}
    closed = {("close", "task", task), ("close", "task", subtask)}
    screen.check("all that was posted is there", posted <= seen, sorted(posted - seen))
    screen.check("so are the closings", closed <= seen, sorted(closed - seen))


async def recent_events(ws: Guide, screen: Screen) -> None:
    screen.step("What happened in the last day")
    found = await ws.get_events("1d")
    screen.show(_chronicle(found))
    undated = [event for event in found if event.date_added is None]
    screen.check("every event has its time", not undated, undated)


def _chronicle(events: Sequence[Event]) -> Table:
    chronicle = table("when", narrow("who", 24), "did", "to", number("number"))
    for event in events[:SHOWN_EVENTS]:
        when = f"{event.date_added:%H:%M}" if event.date_added else ""
        words_of = [words.printable(str(word)) for word in (event.action, event.object.type, event.object.id)]
        chronicle.add_row(when, words.person(event.user_from), *words_of)
    if not events:
        chronicle.add_row("", "nobody", "nothing")
    if len(events) > SHOWN_EVENTS:
        chronicle.add_row("", f"and {len(events) - SHOWN_EVENTS} more")
    return chronicle


async def refusal(ws: Guide, screen: Screen) -> None:
    screen.step("A mistake, and what it says")
    try:
        found = await ws.get_task(NOBODYS_TASK)
    except NotFound as error:
        screen.quote(str(error))
        screen.check("a task that is not there raises NotFound", holds=True)
    else:
        screen.check("a task that is not there raises NotFound", holds=False, seen=found)
