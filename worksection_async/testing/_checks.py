"""What the spec says about parameters, enforced in the order the service was seen to answer.

Missing ones, then projects and tasks that do not exist, then one-of groups, then options that exclude one another,
then addresses. Unknown parameters, and unknown words where only certain ones make sense, are passed over in silence.
"""

import re

from .._spec import ActionSpec
from ._facts import SPEC
from ._params import Params
from ._reply import Refused, missing
from .world import World

_FILES = {"attach", "files"}
_SENTINELS = {"ANY", "NOONE"}


def admit(action: ActionSpec, params: Params, world: World) -> Params:
    """Return *params* without words the action does not know; raises `Refused` for those it cannot do with."""
    params = _known_words(action, params)
    _require(action, params)
    _find(action, params, world)
    _one_of(action, params)
    _exclusive(action, params)
    _addresses(action, params, world)
    return params


def _known_words(action: ActionSpec, params: Params) -> Params:
    values = dict(params.values)
    for name, spec in action.params.items():
        enum = SPEC.enums.get(re.sub(r"list\[(.+)\]", r"\1", spec.type))
        if enum is not None:
            values[name] = ",".join(word for word in params.names(name) if word in enum.values)
    return Params(values)


def _require(action: ActionSpec, params: Params) -> None:
    for name, spec in action.params.items():
        if spec.required and spec.type not in _FILES and not params.given(name):
            raise missing(f"{name} (id or title)" if spec.type == "name" else name)


def _find(action: ActionSpec, params: Params, world: World) -> None:
    for name in action.params:
        if name == "id_project" and params.given(name) and params.number(name) not in world.projects:
            raise Refused("Project is invalid")
        if name in {"id_task", "id_parent"} and params.given(name) and params.number(name) not in world.tasks:
            raise Refused("Task is invalid")


def _one_of(action: ActionSpec, params: Params) -> None:
    for names in action.one_of:
        if not any(params.given(name) for name in names):
            if len(names) == 2:
                raise missing(" or ".join(names))
            raise Refused("At least one of fields required", ", ".join(names))


def _exclusive(action: ActionSpec, params: Params) -> None:
    for names in action.exclusive:
        if names[0].startswith("options.") and sum(params.flag(name) or False for name in names) > 1:
            raise Refused(f"Only one parameter ({' or '.join(names)}) can be set as 1.")


def _addresses(action: ActionSpec, params: Params, world: World) -> None:
    for name, spec in action.params.items():
        given = params.names(name)
        if spec.type == "emails":
            unknown = [address for address in given if world.user(address) is None]
        elif spec.type in {"email", "assignee"} and given:
            known = len(given) == 1 and _is_known(spec.type, name, given[0], world)
            unknown = [] if known else given
        else:
            continue
        if unknown:
            raise Refused("Invalid email", ",".join(unknown))


def _is_known(type_: str, name: str, address: str, world: World) -> bool:
    if name == "email":
        return re.fullmatch(r"[^@\s]+@[^@\s]+", address) is not None
    return (type_ == "assignee" and address.upper() in _SENTINELS) or world.user(address) is not None
