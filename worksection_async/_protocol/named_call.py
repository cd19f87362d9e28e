"""Calls by name (`Session.call`): the result is the raw envelope, and unknown names can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

from ..errors import InvalidCall
from ..models import ProjectOptions
from . import compound_formats, formats, shapes
from .actions import ACTIONS
from .call import Action, Param
from .names import check_name, is_reserved, unknown_action

T = TypeVar("T")


def named_action(name: str, params: Mapping[str, object], *, unchecked: bool = False) -> Action[dict[str, Any]]:
    """Return the action *name*, with the raw envelope as its result.

    Args:
        name: Name of the action.
        params: Parameters of the call.
        unchecked: Whether the action and the parameters may be unknown. An unknown action is treated as a write.

    Raises:
        InvalidCall: A name is unknown or reserved, or cannot be sent.
    """
    if not isinstance(params, Mapping):
        raise InvalidCall("call", f"params must be a mapping, got {type(params).__name__}")
    _check_names(name, params)
    if unchecked:
        return _raw(
            _with_unknown_params(ACTIONS.get(name) or Action(name, kind="write", returns=shapes.nothing), params)
        )
    if name not in ACTIONS:
        raise InvalidCall(name, unknown_action(name, ACTIONS))
    return _raw(ACTIONS[name])


def _check_names(action: str, params: Mapping[str, object]) -> None:
    for name in (action, *params):
        try:
            check_name(name)
        except ValueError as exc:
            raise InvalidCall(_printable(action), f"the name {name!a}: {exc}") from None
    for name in params:
        if is_reserved(name):
            raise InvalidCall(action, f"unknown parameter {name!a}: the client sets it")


def _printable(action: object) -> str:
    return str(action).encode(errors="backslashreplace").decode()


def _with_unknown_params(action: Action[T], params: Mapping[str, object]) -> Action[T]:
    """Return *action* with all *params*; the value of an unknown one is encoded by its Python type."""
    unknown = {name: Param(compound_formats.by_type) for name in params if name not in action.params}
    return attrs.evolve(action, params={**action.params, **unknown})


def _raw(action: Action[object]) -> Action[dict[str, Any]]:
    """Return *action* with the raw envelope as its result; text is accepted for every parameter and sent unchanged."""
    params = {
        name: param if param.is_files else Param(compound_formats.TextOrFormat(param.format), param.required)
        for name, param in action.params.items()
    }
    if "options" in params:
        params |= {
            f"options.{rule.name}": Param(compound_formats.TextOrFormat(formats.to_flag))
            for rule in attrs.fields(ProjectOptions)
        }
    return cast("Action[dict[str, Any]]", attrs.evolve(action, params=params, returns=shapes.raw))
