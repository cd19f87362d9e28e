"""Time and money entered for tasks."""

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import groupby

from .. import _render as render
from .._filters import Field, compile_filter
from .._reply import Record, missing, ok, php_map
from ..records import Cost, Project, Task, User
from .call import Call, action

_PROJECT: dict[str, Field[Cost]] = {"project": Field("number", lambda cost: cost.task.project.id)}
_FIELDS: dict[str, Field[Cost]] = {
    **_PROJECT,
    "id": Field("number", lambda cost: cost.task.id),
    "task": Field("number", lambda cost: cost.task.id),
    "comment": Field("text", lambda cost: cost.comment),
    "dateadd": Field("date", lambda cost: cost.date),
}


@action
def get_costs(call: Call) -> Record:
    costs = _selected(call, _FIELDS)
    return ok([render.cost(cost) for cost in costs], total=render.total(costs))


@action
def get_costs_total(call: Call) -> Record:
    costs, extra = _selected(call, _PROJECT), call.extra
    if "projects" not in extra or call.params.given("id_task"):
        return ok(total=render.total(costs))
    projects: Record = {
        str(project.id): _project_sums(project, [cost for cost in costs if cost.task.project is project], extra)
        for project in dict.fromkeys(cost.task.project for cost in costs)
    }
    return ok(projects=php_map(projects), total=render.total(costs))


def _selected(call: Call, fields: dict[str, Field[Cost]]) -> list[Cost]:
    params = call.params
    first, last = params.date("datestart") or dt.date.min, params.date("dateend") or dt.date.max
    by_timer, fits = params.flag("is_timer"), compile_filter(params.text("filter"), fields)
    project = call.project if params.given("id_project") else None
    task = call.task if params.given("id_task") else None
    return [
        cost
        for cost in call.world.costs.values()
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
    """Group costs, the last key first, as the months come."""
    return [(name, list(group)) for name, group in groupby(sorted(costs, key=key, reverse=True), key)]


def _task_sums(task: Task, costs: list[Cost]) -> Record:
    return render.task_ref(task) | render.total(costs)


@action
def add_costs(call: Call) -> Record:
    user = call.author(required=True)
    time, money = _amounts(call, user, call.params.hours("time") or dt.timedelta())
    cost = call.world.add_cost(
        call.task,
        time,
        money or Decimal(),
        user=user,
        comment=call.params.text("comment"),
        date=call.params.date("date") or call.world.now().date(),
    )
    return ok(id=cost.id)


@action
def update_costs(call: Call) -> Record:
    cost = _cost(call)
    time = call.params.hours("time")
    date = call.params.date("date") or cost.date
    cost.time, money = _amounts(call, cost.user, cost.time if time is None else time)
    cost.money = cost.money if money is None else money
    cost.comment, cost.date = call.params.text("comment") or cost.comment, date
    return ok()


@action
def delete_costs(call: Call) -> Record:
    del call.world.costs[_cost(call).id]
    return ok()


def _amounts(call: Call, user: User, time: dt.timedelta) -> tuple[dt.timedelta, Decimal | None]:
    """Return time and money; by the hourly rate, any money given is not looked at."""
    if call.params.flag("is_rate"):
        return time, round((user.rate or Decimal()) * Decimal(time.total_seconds()) / 3600, 2)
    return time, call.params.decimal("money")


def _cost(call: Call) -> Cost:
    """What the service says about a number it does not have was never seen."""
    cost = call.world.costs.get(call.params.number("id_costs"))
    if cost is None:
        raise missing("id_costs")
    return cost
