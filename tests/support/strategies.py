"""Hypothesis strategies for models, made of the types of their fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
from hypothesis import strategies as st

from worksection_async import models
from worksection_async.models import Model

MODELS = sorted(
    (
        each
        for each in vars(models).values()
        if isinstance(each, type) and issubclass(each, Model) and each is not Model
    ),
    key=lambda cls: cls.__name__,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    str: texts,
    bool: st.booleans(),
    dt.date: st.dates(),
    dt.datetime: st.datetimes()
    | st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-3.5))])),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=99999)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    object: json_values,
}


_STRATEGIES: dict[tuple[type[Model], int], st.SearchStrategy[Any]] = {}


def model(cls: type[Model], depth: int = 1) -> st.SearchStrategy[Any]:
    """Return a strategy for *cls*; models are nested *depth* levels at most."""
    if (cls, depth) not in _STRATEGIES:
        _STRATEGIES[cls, depth] = _model(cls, depth)
    return _STRATEGIES[cls, depth]


def _model(cls: type[Model], depth: int) -> st.SearchStrategy[Any]:
    attrs.resolve_types(cls, include_extras=True)
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for field in attrs.fields(cls):
        if field.default is attrs.NOTHING:
            required[field.name] = _values(field.type, max(depth, 1))
        elif (values := _values(field.type, depth)) is not None:
            optional[field.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: cls(**values))


def _values(type_: Any, depth: int) -> st.SearchStrategy[Any] | None:
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _values(arguments[0], depth)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        item = _values(arguments[0], depth)
        return st.just(()) if item is None else st.lists(item, max_size=2).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        member = _values(arguments[1], depth)
        return st.just({}) if member is None else st.dictionaries(VALUES[arguments[0]], member, max_size=2)
    if origin is Union or type(None) in arguments or str in arguments:
        inner = [_values(each, depth) for each in arguments if each is not type(None)]
        return st.one_of(st.none() if type(None) in arguments else texts, *(each for each in inner if each is not None))
    if isinstance(type_, type) and issubclass(type_, Model):
        return model(type_, depth - 1) if depth else None
    return VALUES[type_]
