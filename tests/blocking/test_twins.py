"""The blocking client has the methods, signatures and docstrings of the asynchronous one."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.constants import ROOT
from worksection_async import Limiter, OpenDownload, Session, blocking
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.endpoints import Endpoints
from worksection_async._sync.streams import CostStream, TaskStream
from worksection_async._sync.tag_watch import TagWatch
from worksection_async._sync.watch import EventsSince, EventWatch
from worksection_async.blocking import BlockingSession
from worksection_async.blocking._endpoints import Endpoints as BlockingEndpoints

TYPES = {
    "TaskStream": "BlockingStream[Task]",
    "CostStream": "BlockingStream[Cost]",
    "EventWatch": "BlockingEventWatch",
    "EventsSince": "BlockingEventsSince",
    "TagWatch": "BlockingTagWatch",
    "AsyncIterator[OpenDownload]": "AbstractContextManager[BlockingDownload]",
    "Limiter": "BlockingLimiter",
    "Callable[[Event], Awaitable[object]]": "Callable[[Event], object]",
}
"""An annotation of the asynchronous client → that of its twin."""

OTHER_WORDS = {
    r"``async (for|with)\b": r"``\1",
    r"``__anext__``": "``__next__``",
    r": a coroutine function, or a `Router`\.": ": an ordinary function; an ``async`` one raises `InvalidCall`.",
}
"""What the docstring of a twin says in other words."""

PAIRS = [
    (TaskStream, blocking.BlockingStream),
    (CostStream, blocking.BlockingStream),
    (EventWatch, blocking.BlockingEventWatch),
    (EventsSince, blocking.BlockingEventsSince),
    (TagWatch, blocking.BlockingTagWatch),
    (OpenDownload, blocking.BlockingDownload),
]

INTERNAL = {"rest_of_reply", "bind", "enter", "wait", "leave", "sent", "hold", "refused", "accepted", "promote"}


def public(cls: type) -> dict[str, Any]:
    names = [name for name in dir(cls) if not name.startswith("_")]
    return {name.removeprefix("a") if name == "aclose" else name: getattr(cls, name) for name in names}


def actions() -> list[str]:
    return [name for name in public(Endpoints) if name in ACTIONS]


def signature(function: Any, *, of_twin: bool) -> list[Any]:
    """Return the parameters (name, kind, default, annotation) and the annotation of the result."""
    found = inspect.signature(function)
    rows = [(it.name, it.kind, it.default, str(it.annotation)) for it in found.parameters.values()]
    rows = [(*row, TYPES.get(note, note) if row[0] == "handler" and not of_twin else note) for *row, note in rows]
    result = str(found.return_annotation)
    return [*rows, result if of_twin else TYPES.get(result, result)]


def doc(thing: Any, *, of_twin: bool) -> str:
    """Return the docstring with single blanks, because shorter words break its lines elsewhere."""
    text = inspect.getdoc(thing) or ""
    for word, other in OTHER_WORDS.items() if not of_twin else ():
        text = re.sub(word, other, text)
    return " ".join(text.split())


def check(original: Any, twin: Any) -> None:
    assert doc(twin, of_twin=True) == doc(original, of_twin=False) != ""
    if isinstance(original, property):
        original, twin = original.fget, twin.fget
    assert not inspect.iscoroutinefunction(twin)
    assert signature(twin, of_twin=True) == signature(original, of_twin=False)


def test_all_actions_are_compared() -> None:
    assert len(actions()) == len(ACTIONS) - 1  # download is a method of the session
    assert set(public(BlockingEndpoints)) == set(public(Endpoints))


@pytest.mark.parametrize("name", actions())
def test_each_action_has_a_twin(name: str) -> None:
    original, twin = getattr(Endpoints, name), getattr(BlockingEndpoints, name)
    assert inspect.iscoroutinefunction(original)
    check(original, twin)


@pytest.mark.parametrize("name", sorted(set(public(Session)) - set(actions())))
def test_each_method_of_the_session_has_a_twin(name: str) -> None:
    check(public(Session)[name], public(BlockingSession)[name])


def test_the_constructors_have_the_same_arguments() -> None:
    assert signature(BlockingSession, of_twin=True) == signature(Session, of_twin=False)
    arguments, of_twin = (
        re.findall(r"^    (\w+):", inspect.getdoc(cls) or "", re.MULTILINE) for cls in (Session, BlockingSession)
    )
    assert of_twin == arguments


@pytest.mark.parametrize(("original", "twin"), PAIRS, ids=lambda cls: cls.__name__)
def test_each_iterator_has_a_twin(original: type, twin: type) -> None:
    assert set(public(twin)) == set(public(original)) - INTERNAL
    if original not in (TaskStream, CostStream):  # their docstrings say which records they stream
        assert doc(twin, of_twin=True) == doc(original, of_twin=False)
    for name, member in public(twin).items():
        if callable(member) and name != "close":
            check(public(original)[name], member)


@pytest.mark.parametrize("name", ["rate", "acquire", "eta", "statistics"])
def test_the_limiter_has_a_twin(name: str) -> None:
    check(getattr(Limiter, name), getattr(blocking.BlockingLimiter, name))


def test_the_type_checkers_read_a_use_of_every_method() -> None:
    """`tests/typing/blocking.py` is not run: mypy --strict and pyright check it."""
    tree = ast.parse((Path(ROOT) / "tests/typing/blocking.py").read_text("utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    twins = [BlockingSession, blocking.BlockingLimiter, *(twin for _, twin in PAIRS)]
    assert set().union(*(public(twin) for twin in twins)) - used == set()


@pytest.mark.parametrize("name", actions())
def test_both_twins_make_the_same_call(name: str) -> None:
    class Caller:
        def call(self, action: Any, params: Any) -> Any:
            return action, params

    class AsyncCaller(Caller):
        async def call(self, action: Any, params: Any) -> Any:
            return action, params

    parameters = list(inspect.signature(getattr(Endpoints, name)).parameters)[1:]
    values = {parameter: object() for parameter in parameters}
    blocking_endpoints, endpoints = BlockingEndpoints.__new__(BlockingEndpoints), Endpoints(AsyncCaller())
    blocking_endpoints._caller = Caller()
    coroutine = getattr(endpoints, name)(**values)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert getattr(blocking_endpoints, name)(**values) == stop.value.value
