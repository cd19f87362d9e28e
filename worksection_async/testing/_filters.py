"""The small language of ``filter``: ``(name has 'Report' or id in (1, 2)) and dateend>'25.05.2021'``.

Which operators numbers, texts and dates know is the spec's; ``and`` binds tighter than ``or``, and both are lower-case
only. Nothing in a text is special but the apostrophe that ends it. Everything else is refused, as the service refuses
it: ``Field is required``/``filter``.
"""

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import attrs

from ._facts import FILTER_KINDS
from ._formats import parse_date
from ._reply import missing

T = TypeVar("T")
Test = Callable[[T], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<number>[0-9]{1,18})|(?P<word>[A-Za-z_]+)|(?P<sign>!=|<=|>=|[=<>(),]))"
)
_DEEPEST = 50

_MEANINGS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, numbers: value in numbers,
    "has": lambda value, text: text.casefold() in value.casefold(),
}
_OPERATORS = {kind: {sign: _MEANINGS[sign] for sign in signs} for kind, signs in FILTER_KINDS.items()}
_OPERATORS["text"]["="] = lambda value, text: value.casefold() == text.casefold()


@attrs.frozen
class Field(Generic[T]):
    """Something a filter can ask about."""

    kind: Literal["number", "text", "date"]
    of: Callable[[T], int | str | dt.date | None]


def compile_filter(text: str, fields: Mapping[str, Field[T]]) -> Test[T]:
    """Return the test that *text* describes; no text, no test."""
    if not text:
        return lambda _: True
    reader = _Reader(_tokens(text), fields)
    test = reader.either()
    if reader.rest:
        raise missing("filter")
    return test


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise missing("filter")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


@attrs.define
class _Reader(Generic[T]):
    """Recursive descent: either → both → one → condition."""

    rest: list[str]
    fields: Mapping[str, Field[T]]
    depth: int = 0

    def next(self, *expected: str) -> str:
        if not self.rest or (expected and self.rest[0] not in expected):
            raise missing("filter")
        return self.rest.pop(0)

    def skip(self, token: str) -> bool:
        if self.rest[:1] != [token]:
            return False
        self.rest.pop(0)
        return True

    def either(self) -> Test[T]:
        tests = [self.both()]
        while self.skip("or"):
            tests.append(self.both())
        return lambda record: any(test(record) for test in tests)

    def both(self) -> Test[T]:
        tests = [self.one()]
        while self.skip("and"):
            tests.append(self.one())
        return lambda record: all(test(record) for test in tests)

    def one(self) -> Test[T]:
        if not self.skip("("):
            return self.condition()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise missing("filter")
        test = self.either()
        self.next(")")
        self.depth -= 1
        return test

    def condition(self) -> Test[T]:
        field = self.fields.get(self.next())
        if field is None:
            raise missing("filter")
        known = _OPERATORS[field.kind]
        sign = self.next(*known)
        operand = self.numbers() if sign == "in" else self.operand(field.kind)

        def test(record: T) -> bool:
            value = field.of(record)
            return value is not None and known[sign](value, operand)

        return test

    def numbers(self) -> list[int]:
        self.next("(")
        numbers = [self.number()]
        while self.next(",", ")") == ",":
            numbers.append(self.number())
        return numbers

    def number(self) -> int:
        token = self.next()
        if not token.isdecimal():
            raise missing("filter")
        return int(token)

    def operand(self, kind: str) -> int | str | dt.date:
        if kind == "number":
            return self.number()
        token = self.next()
        if not token.startswith("'"):
            raise missing("filter")
        if kind == "text":
            return token[1:-1]
        try:
            return parse_date(token[1:-1])
        except ValueError:
            raise missing("filter") from None
