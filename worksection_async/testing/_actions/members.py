"""Members, contacts, their groups, subscriptions and days off."""

import datetime as dt
import json
from collections import Counter
from typing import Any

from .. import _render as render
from .._facts import SPEC
from .._formats import parse_schedule_date
from .._reply import Record, Refused, listing, missing, ok, php_map
from ..records import User
from ..world import World
from .call import Call, action

_CONTACT_DETAILS = ("title", "group", "phone", "phone2", "phone3", "phone4", "address", "address2")
_UNSET = "unset"
_DAYS = SPEC.enums["ScheduleChange"].values


@action
def me(call: Call) -> Record:
    return ok(render.member(call.caller.user, rate=False))


@action
def get_users(call: Call) -> Record:
    return listing(
        [render.member(user, date_added=call.caller.by_key) for user in call.world.users.values() if user.active]
    )


@action
def add_user(call: Call) -> Record:
    address = call.params.text("email")
    if call.world.user(address):
        raise Refused("Invalid email", address)
    user = call.world.add_user(
        address,
        title=call.params.text("title"),
        group=call.params.text("group") or call.caller.user.group,
        department=call.params.text("department"),
        role=(call.params.text("role") or "user").capitalize(),
    )
    user.first_name = call.params.text("first_name") or user.first_name
    user.last_name = call.params.text("last_name") or user.last_name
    return ok(render.member(user))


@action
def get_user_groups(call: Call) -> Record:
    return ok([render.group(group) for group in call.world.groups.values() if group.type == "company"])


@action
def add_user_group(call: Call) -> Record:
    title = call.params.text("title")
    teams = (group for group in call.world.groups.values() if group.type == "company" and group.title == title)
    group = next(teams, None) or call.world.add_group(title, client=call.params.flag("client") or False)
    return ok(render.group(group))


@action
def get_contacts(call: Call) -> Record:
    return ok([render.contact(contact, date_added=call.caller.by_key) for contact in call.world.contacts.values()])


@action
def add_contact(call: Call) -> Record:
    details: dict[str, Any] = {name: call.params.text(name) for name in _CONTACT_DETAILS if call.params.given(name)}
    contact = call.world.add_contact(call.params.text("name"), call.params.text("email"), **details)
    return ok(render.contact(contact))


@action
def get_contact_groups(call: Call) -> Record:
    return ok([render.group(group) for group in call.world.contact_groups.values()])


@action
def add_contact_group(call: Call) -> Record:
    title = call.params.text("title")
    same = (group for group in call.world.contact_groups.values() if group.title == title)
    return ok(render.group(next(same, None) or call.world.add_contact_group(title)))


@action
def subscribe(call: Call) -> Record:
    for user in call.users("email_user"):
        if user not in call.task.subscribers:
            call.task.subscribers.append(user)
    return ok()


@action
def unsubscribe(call: Call) -> Record:
    leaving = call.users("email_user")
    call.task.subscribers[:] = [user for user in call.task.subscribers if user not in leaving]
    return ok()


@action
def get_users_schedule(call: Call) -> Record:
    """Those who were asked for by name, or else those with a day off in the range."""
    first, last = call.params.date("datestart") or dt.date.min, call.params.date("dateend") or dt.date.max
    asked = [_member(call.world, name) for name in call.params.names("users")]
    schedules: Record = {}
    for user in asked or call.world.users.values():
        days: Record = {day.isoformat(): why for day, why in sorted(user.schedule.items()) if first <= day <= last}
        if days or asked:
            person = render.user(user) | {"group": user.group, "department": user.department}
            schedules[str(user.id)] = person | {"schedule": php_map(days)}
    return ok(php_map(schedules))


@action
def update_users_schedule(call: Call) -> Record:
    """All of it or nothing."""
    changes = [
        (_member(call.world, name), day, kind)
        for name, days in _schedule_data(call).items()
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
    """Return the member an address or a number names."""
    user = next((user for user in world.users.values() if str(user.id) == name), None) or world.user(name)
    if user is None:
        raise Refused("Invalid email", name)
    return user


def _schedule_data(call: Call) -> dict[str, dict[dt.date, str]]:
    """Read ``data``: JSON in a query, an object in a JSON body."""
    value: Any = call.params.values.get("data")
    try:
        people = json.loads(value) if isinstance(value, str) else value
        data = {
            str(name): {parse_schedule_date(day): str(kind) for day, kind in days.items()}
            for name, days in people.items()
        }
    except (ValueError, AttributeError):
        raise missing("data") from None
    if any(kind not in _DAYS for days in data.values() for kind in days.values()):
        raise missing("data")
    return data
