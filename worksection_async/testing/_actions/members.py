"""Members, contacts, groups, subscriptions and schedules."""

import datetime as dt
import json
from collections import Counter
from typing import Any

from .. import _render as render
from .._constants import SPEC
from .._formats import parse_schedule_date
from .._records import User
from .._reply import Record, ServiceRefusal, missing_field, ok, ok_or_no_data, php_map
from .._world import World
from .request import ActionRequest, action

_CONTACT_DETAILS = ("title", "group", "phone", "phone2", "phone3", "phone4", "address", "address2")
_UNSET = "unset"
_DAYS = SPEC.enums["ScheduleChange"].values


@action
def me(request: ActionRequest) -> Record:
    return ok(render.member(request.principal.user, rate=False))


@action
def get_users(request: ActionRequest) -> Record:
    return ok_or_no_data(
        [
            render.member(user, date_added=request.principal.by_key)
            for user in request.world.users.values()
            if user.active
        ]
    )


@action
def add_user(request: ActionRequest) -> Record:
    address = request.params.text("email")
    if request.world.user(address):
        raise ServiceRefusal("Invalid email", address)
    user = request.world.add_user(
        address,
        title=request.params.text("title"),
        group=request.params.text("group") or request.principal.user.group,
        department=request.params.text("department"),
        role=(request.params.text("role") or "user").capitalize(),
    )
    user.first_name = request.params.text("first_name") or user.first_name
    user.last_name = request.params.text("last_name") or user.last_name
    return ok(render.member(user))


@action
def get_user_groups(request: ActionRequest) -> Record:
    return ok([render.group(group) for group in request.world.groups.values() if group.type == "company"])


@action
def add_user_group(request: ActionRequest) -> Record:
    title = request.params.text("title")
    teams = (group for group in request.world.groups.values() if group.type == "company" and group.title == title)
    group = next(teams, None) or request.world.add_group(title, client=request.params.flag("client") or False)
    return ok(render.group(group))


@action
def get_contacts(request: ActionRequest) -> Record:
    return ok(
        [render.contact(contact, date_added=request.principal.by_key) for contact in request.world.contacts.values()]
    )


@action
def add_contact(request: ActionRequest) -> Record:
    details: dict[str, Any] = {
        name: request.params.text(name) for name in _CONTACT_DETAILS if request.params.given(name)
    }
    contact = request.world.add_contact(request.params.text("name"), request.params.text("email"), **details)
    return ok(render.contact(contact))


@action
def get_contact_groups(request: ActionRequest) -> Record:
    return ok([render.group(group) for group in request.world.contact_groups.values()])


@action
def add_contact_group(request: ActionRequest) -> Record:
    title = request.params.text("title")
    same = (group for group in request.world.contact_groups.values() if group.title == title)
    return ok(render.group(next(same, None) or request.world.add_contact_group(title)))


@action
def subscribe(request: ActionRequest) -> Record:
    for user in request.users("email_user"):
        if user not in request.task.subscribers:
            request.task.subscribers.append(user)
    return ok()


@action
def unsubscribe(request: ActionRequest) -> Record:
    leaving = request.users("email_user")
    request.task.subscribers[:] = [user for user in request.task.subscribers if user not in leaving]
    return ok()


@action
def get_users_schedule(request: ActionRequest) -> Record:
    """Return the schedules of the named users, or of all users with a day off in the range."""
    first, last = request.params.date("datestart") or dt.date.min, request.params.date("dateend") or dt.date.max
    asked = [_member(request.world, name) for name in request.params.names("users")]
    schedules: Record = {}
    for user in asked or request.world.users.values():
        days: Record = {day.isoformat(): why for day, why in sorted(user.schedule.items()) if first <= day <= last}
        if days or asked:
            person = render.user(user) | {"group": user.group, "department": user.department}
            schedules[str(user.id)] = person | {"schedule": php_map(days)}
    return ok(php_map(schedules))


@action
def update_users_schedule(request: ActionRequest) -> Record:
    """Apply all changes, or none if one is invalid."""
    changes = [
        (_member(request.world, name), day, kind)
        for name, days in _schedule_data(request).items()
        for day, kind in days.items()
    ]
    done: Counter[str] = Counter(added=0, updated=0)
    for user, day, kind in changes:
        if kind == _UNSET:
            done["removed"] += user.schedule.pop(day, None) is not None
        else:
            done["updated" if day in user.schedule else "added"] += 1
            user.schedule[day] = kind
    counts = ", ".join(f"days {what}: {count}" for what, count in done.items() if count or what != "removed")
    return ok([], message=counts.capitalize())


def _member(world: World, name: str) -> User:
    """Return the member with an email address or id."""
    user = next((user for user in world.users.values() if str(user.id) == name), None) or world.user(name)
    if user is None:
        raise ServiceRefusal("Invalid email", name)
    return user


def _schedule_data(request: ActionRequest) -> dict[str, dict[dt.date, str]]:
    """Decode ``data``, which is JSON text in a query and an object in a JSON body."""
    value: Any = request.params.values.get("data")
    try:
        people = json.loads(value) if isinstance(value, str) else value
        data = {
            str(name): {parse_schedule_date(day): str(kind) for day, kind in days.items()}
            for name, days in people.items()
        }
    except (ValueError, AttributeError):
        raise missing_field("data") from None
    if any(kind not in _DAYS for days in data.values() for kind in days.values()):
        raise missing_field("data")
    return data
