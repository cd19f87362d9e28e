"""The initial content of a simulated account."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

from ._records import ANYONE, Task, User
from ._world import World

Now = Callable[[], dt.datetime]


def empty(now: Now) -> World:
    """Return an account with one user: the owner, who has the admin key."""
    return World(now, "owner@example.com", name="Olga Owner", group="Company", avatar=_avatar(1))


def demo(now: Now) -> World:
    """Return the account of the vendor's examples, with the same ids, and project 26 of the documentation."""
    world = World(now, "henry.gardner@ws.com", name="Henry Gardner", id=3993, group="Development", avatar=_avatar(3993))
    world.owner.title, world.owner.department, world.owner.rate = "developer", "Dev team", Decimal(25)
    world.owner.phone, world.owner.address = "+15852827023", "Apt. 902 853 Simona Common, Pollybury, SC 98466-2410"
    frank = world.add_user("frank.harper@ws.com", "Frank Harper", id=5514, group="Development", rate=Decimal(20))
    kate = world.add_user("kate.greenway@ws.com", "Kate Greenway", id=5686, group="Marketing", rate=Decimal(11))
    for user in (frank, kate):
        user.avatar = _avatar(user.id)
    kate.schedule[dt.date(2021, 1, 4)] = "vacation"
    _add_groups_and_contacts(world)
    _add_tags(world)
    _add_first_steps(world)
    _add_improvement(world, frank, kate)
    _add_launch(world, frank, kate)
    _add_other_projects(world, kate)
    _add_webhooks(world)
    return world


def large(now: Now) -> World:
    """Return the demo account with 12 000 tasks more, in three projects: more than one reply can contain."""
    world = demo(now)
    day = now().replace(hour=12, minute=0, second=0, microsecond=0)
    for number in range(1, 4):
        project = world.add_project(f"Large project {number}", company="Development")
        for index in range(4_000):
            age = dt.timedelta(days=index % 365)
            world.add_task(project, f"Task {index + 1}", date_added=day - age, date_end=(day + age).date())
    return world


def _avatar(number: int) -> str:
    return f"https://acc1234.worksection.com/images/user/{number}.gif"


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _add_groups_and_contacts(world: World) -> None:
    world.add_group("Design", "folder", id=4302)
    world.add_group("Development", id=2977)
    world.add_group("Marketing", id=4190)
    world.add_group("Singing bird", id=4186, client=True)
    for number, title in enumerate(["DEFAULT", "Clients", "Partners"], start=1):
        world.add_contact_group(title, "preset", id=number)
    brian = world.add_contact("Brian Dragonfly", "brian.dragonfly@example.com", id=5606, group="Clients")
    brian.title, brian.phone, brian.phone2 = "manager", "1 345 234 23 67", "486 09 77"
    world.add_contact("Steve Powerhold", id=5614, group="Partners", phone="1265 458 32 12")


def _add_tags(world: World) -> None:
    workflow = world.add_tag_group("Basic workflow", type="status", id=100)
    for number, title in {72565: "To-do", 72569: "In progress", 72573: "Need approval", 72577: "Done"}.items():
        world.add_tag(workflow, title, id=number)
    labels = world.add_tag_group("General labels", id=101)
    world.add_tags(labels, ["bug", "feature", "design", "doing", "deployed"])
    world.add_tag_group("Task results", id=102, access="private")
    world.add_tag_group("Project status", "project", "status", id=97)
    common = world.add_tag_group("Common labels", "project", id=98)
    world.add_tag(common, "inner", id=105554)
    world.add_tag(common, "wiki", id=105570)
    world.add_tags(world.add_tag_group("Finance", "project", id=99), ["app", "paid", "bill"])
    world.add_custom_field("Customer", id=11, descr="Who pays")
    world.add_custom_field("Budget line", "project", id=12, type="list", options=["A", "B"])


def _add_first_steps(world: World) -> None:
    project = world.add_project("First steps", id=26, company="Development", text="Where the documentation begins")
    world.add_task(project, "Read the documentation", id=2601, assignee=world.owner, text="From the start")
    world.add_task(project, "Write a program", id=2602)


def _add_improvement(world: World, frank: User, kate: User) -> None:
    project = world.add_project("Performance improvement", id=6622, manager=kate, members=[world.owner, frank, kate])
    project.company, project.text = "Development", "Inner project for company KPI improvement"
    project.date_added = _at("2021-01-01 10:18")
    project.date_start, project.date_end = dt.date(2021, 1, 1), dt.date(2021, 7, 1)
    project.max_time, project.max_money = Decimal(1200), Decimal(20400)
    project.options = {"allow_close", "allow_give", "require_term", "timer_only"}
    project.tags = [world.tags[105554], world.tags[105570]]
    world.add_file(project, "Text file.docx", b"text", id=16246)
    task = world.add_task(project, "Worksection implementation", id=330090, priority=8, assignee=ANYONE)
    task.date_added, task.tags = _at("2021-01-01 11:00"), [world.tags[72565]]
    _add_talk_and_costs(world, task, frank, kate)

    world.add_task(project, "Team meetup", id=331430, assignee=world.owner)
    world.add_task(project, "Template creation", id=332150, priority=10)
    workflow = world.add_task(project, "Dev workflow", id=330142)
    for task in (workflow, world.add_task(project, "Draft", id=331470, parent=workflow)):
        task.status, task.date_closed = "done", _at("2021-01-06 17:00")


def _add_talk_and_costs(world: World, task: Task, frank: User, kate: User) -> None:
    comment = world.add_comment(task, "", id=19078, author=frank, date_added=_at("2021-01-01 10:00"))
    world.add_file(comment, "Text file.docx", b"text", id=17350, author=frank)
    comment = world.add_comment(task, "Added one more file needed", id=19086, date_added=_at("2021-01-02 11:21"))
    world.add_file(comment, "Image file.png", b"\x89PNG", id=17362)
    cost = world.add_cost(task, dt.timedelta(hours=6, minutes=50), Decimal("75.17"), id=3690, user=kate)
    cost.date, cost.comment = dt.date(2021, 1, 4), "Interviews"
    world.add_cost(task, dt.timedelta(hours=96, minutes=49), Decimal(5360), id=3706, user=frank, is_timer=True)
    world.add_timer(task, frank, id=2918)


def _add_launch(world: World, frank: User, kate: User) -> None:
    owner = world.owner
    project = world.add_project("Owl brand launch", id=8562, company="Development", members=[owner, frank, kate])
    development = world.add_task(project, "Development", id=331894, priority=7, assignee=owner)
    development.text, development.subscribers = "Business logic programming", [owner, frank]
    development.date_start, development.date_end = dt.date(2021, 1, 16), dt.date(2021, 2, 16)
    development.time_start, development.time_end = "08:00", "18:00"
    development.max_time, development.max_money = Decimal(352), Decimal(5280)
    world.add_file(development, "Development requirements.doc", b"requirements", id=17694)
    world.add_file(development, "Development progress.xlsx", b"progress", id=17698)
    for number, text in enumerate(["Updated requirements", "Need your help", "And the environment?", "Thanks"]):
        world.add_comment(development, text, id=19950 + 4 * number, author=(owner, frank)[number % 2])
    sprint = world.add_task(project, "Sprint 1", id=331910, parent=development, assignee=owner)
    world.add_task(project, "Subsprint 1.1", id=331914, parent=sprint, assignee=owner)
    prototyping = world.add_task(project, "Prototyping", id=331902, assignee=kate, date_end=dt.date(2021, 1, 15))
    testing = world.add_task(project, "Testing", id=331906, assignee=frank, date_start=dt.date(2021, 2, 17))
    world.relate(prototyping, development)
    world.relate(development, testing)


def _add_other_projects(world: World, kate: User) -> None:
    world.add_project("Prototyping", id=8506, status="pending", author=kate, company="Development")
    world.add_project("Old site", id=8482, status="archive", company="Design", date_closed=_at("2021-02-01 12:00"))


def _add_webhooks(world: World) -> None:
    world.add_webhook("https://hooks.example.com/new", ["post_task", "post_comment"], id=122, projects=[26])
    world.add_webhook("https://hooks.example.com/changed", ["update_task", "close_task"], id=123, status="paused")


SEEDS: dict[str, Callable[[Now], World]] = {"demo": demo, "empty": empty, "large": large}
