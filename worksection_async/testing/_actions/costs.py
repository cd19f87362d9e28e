"""Costs: time and money of tasks."""

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import groupby

from .. import _render as render
from .._filters import FilterableField, compile_filter
from .._records import Cost, Project, Task, User
from .._reply import Record, missing_field, ok, php_map
from .request import ActionRequest, action

_TOTAL_FIELDS: dict[str, FilterableField[Cost]] = {
    "project": FilterableField("number", lambda cost: cost.task.project.id)
}
_FIELDS: dict[str, FilterableField[Cost]] = {
    **_TOTAL_FIELDS,
    "id": FilterableField("number", lambda cost: cost.task.id),
    "task": FilterableField("number", lambda cost: cost.task.id),
    "comment": FilterableField("text", lambda cost: cost.comment),
    "dateadd": FilterableField("date", lambda cost: cost.date),
}


@action
def get_costs(request: ActionRequest) -> Record:
    costs = _selected(request, _FIELDS)
    return ok([render.cost(cost) for cost in costs], total=render.total(costs))


@action
def get_costs_total(request: ActionRequest) -> Record:
    costs, extra = _selected(request, _TOTAL_FIELDS), request.extra
    if "projects" not in extra or request.params.given("id_task"):
        return ok(total=render.total(costs))
    projects: Record = {
        str(project.id): _project_sums(project, [cost for cost in costs if cost.task.project is project], extra)
        for project in dict.fromkeys(cost.task.project for cost in costs)
    }
    return ok(projects=php_map(projects), total=render.total(costs))


def _selected(request: ActionRequest, fields: dict[str, FilterableField[Cost]]) -> list[Cost]:
    params = request.params
    first, last = params.date("datestart") or dt.date.min, params.date("dateend") or dt.date.max
    by_timer, fits = params.flag("is_timer"), compile_filter(params.text("filter"), fields)
    project = request.project if params.given("id_project") else None
    task = request.task if params.given("id_task") else None
    return [
        cost
        for cost in request.world.costs.values()
        if first <= cost.date <= last
        and by_timer in (None, cost.is_timer)
        and project in (None, cost.task.project)
        and task in (None, cost.task)
        and fits(cost)
    ]


def _project_sums(project: Project, costs: list[Cost], extra: render.Extra) -> Record:
    months: Record = {month: render.total(group) for month, group in _grouped(costs, lambda cost: f"{cost.date:%Y-%m}")}
    sums = render.total(costs) | {"monthly": php_map(months)}
    if "tasks" in extra or "tasks_top_level" in extra:
        top = "tasks_top_level" in extra
        tasks = {cost.task: cost.task.ancestors[-1] if top and cost.task.parent else cost.task for cost in costs}
        sums["tasks"] = {
            str(task.id): _task_sums(task, [cost for cost in costs if tasks[cost.task] is task])
            for task in dict.fromkeys(tasks.values())
        }
    return sums | render.project_ref(project)


def _grouped(costs: Iterable[Cost], key: Callable[[Cost], str]) -> list[tuple[str, list[Cost]]]:
    """Group costs by *key*, in descending order, as the service orders months."""
    return [(name, list(group)) for name, group in groupby(sorted(costs, key=key, reverse=True), key)]


def _task_sums(task: Task, costs: list[Cost]) -> Record:
    return render.task_ref(task) | render.total(costs)


@action
def add_costs(request: ActionRequest) -> Record:
    user = request.author(required=True)
    time, money = _amounts(request, user, request.params.hours("time") or dt.timedelta())
    cost = request.world.add_cost(
        request.task,
        time,
        money or Decimal(),
        user=user,
        comment=request.params.text("comment"),
        date=request.params.date("date") or request.world.now().date(),
    )
    return ok(id=cost.id)


@action
def update_costs(request: ActionRequest) -> Record:
    cost = _cost(request)
    time = request.params.hours("time")
    date = request.params.date("date") or cost.date
    cost.time, money = _amounts(request, cost.user, cost.time if time is None else time)
    cost.money = cost.money if money is None else money
    cost.comment, cost.date = request.params.text("comment") or cost.comment, date
    return ok()


@action
def delete_costs(request: ActionRequest) -> Record:
    del request.world.costs[_cost(request).id]
    return ok()


def _amounts(request: ActionRequest, user: User, time: dt.timedelta) -> tuple[dt.timedelta, Decimal | None]:
    """Return time and money. With ``is_rate`` the money is calculated from the hourly rate."""
    if request.params.flag("is_rate"):
        return time, round((user.rate or Decimal()) * Decimal(time.total_seconds()) / 3600, 2)
    return time, request.params.decimal("money")


def _cost(request: ActionRequest) -> Cost:
    """Return the entry with ``id_costs``. The message for an unknown id is a guess."""
    cost = request.world.costs.get(request.params.number("id_costs"))
    if cost is None:
        raise missing_field("id_costs")
    return cost
