"""Checks the parameters of an action against the spec, in the order that was observed at the service.

The order is: missing parameters, unknown projects and tasks, one-of groups, exclusive options, unknown addresses.
As at the service, unknown parameters and unknown values of an enum are ignored.
"""

import re

from .._spec import ActionSpec
from ._constants import SPEC
from ._params import Params
from ._reply import ServiceRefusal, missing_field
from ._world import World

_FILES = {"attach", "files"}
_SENTINELS = {"ANY", "NOONE"}


def check_params(action: ActionSpec, params: Params, world: World) -> Params:
    """Return *params* without unknown enum values; raise `ServiceRefusal` if the service would refuse them."""
    params = _without_unknown_values(action, params)
    _check_required(action, params)
    _check_records(action, params, world)
    _check_one_of(action, params)
    _check_exclusive(action, params)
    _check_addresses(action, params, world)
    return params


def _without_unknown_values(action: ActionSpec, params: Params) -> Params:
    values = dict(params.values)
    for name, spec in action.params.items():
        enum = SPEC.enums.get(spec.type.removeprefix("list[").removesuffix("]"))
        if enum is not None:
            values[name] = ",".join(word for word in params.names(name) if word in enum.values)
    return Params(values)


def _check_required(action: ActionSpec, params: Params) -> None:
    for name, spec in action.params.items():
        if spec.required and spec.type not in _FILES and not params.given(name):
            raise missing_field(f"{name} (id or title)" if spec.type == "name" else name)


def _check_records(action: ActionSpec, params: Params, world: World) -> None:
    for name in action.params:
        if name == "id_project" and params.given(name) and params.number(name) not in world.projects:
            raise ServiceRefusal("Project is invalid")
        if name in {"id_task", "id_parent"} and params.given(name) and params.number(name) not in world.tasks:
            raise ServiceRefusal("Task is invalid")


def _check_one_of(action: ActionSpec, params: Params) -> None:
    for names in action.one_of:
        if not any(params.given(name) for name in names):
            if len(names) == 2:
                raise missing_field(" or ".join(names))
            raise ServiceRefusal("At least one of fields required", ", ".join(names))


def _check_exclusive(action: ActionSpec, params: Params) -> None:
    for names in action.exclusive:
        if names[0].startswith("options.") and sum(params.flag(name) or False for name in names) > 1:
            raise ServiceRefusal(f"Only one parameter ({' or '.join(names)}) can be set as 1.")


def _check_addresses(action: ActionSpec, params: Params, world: World) -> None:
    for name, spec in action.params.items():
        given = params.names(name)
        if spec.type == "emails":
            unknown = [address for address in given if world.user(address) is None]
        elif spec.type in {"email", "assignee"} and given:
            known = len(given) == 1 and _is_valid_address(spec.type, name, given[0], world)
            unknown = [] if known else given
        else:
            continue
        if unknown:
            raise ServiceRefusal("Invalid email", ",".join(unknown))


def _is_valid_address(type_: str, name: str, address: str, world: World) -> bool:
    if name == "email":
        return re.fullmatch(r"[^@\s]+@[^@\s]+", address) is not None
    return (type_ == "assignee" and address.upper() in _SENTINELS) or world.user(address) is not None
