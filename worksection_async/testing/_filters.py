"""A parser for the language of ``filter``: ``(name has 'Report' or id in (1, 2)) and dateend>'25.05.2021'``.

The spec lists the operators for numbers, texts and dates. ``and`` has a higher precedence than ``or``; both must be
lower-case. Texts have no escape sequences: an apostrophe always ends the text. Any other input raises the refusal of
the service, ``Field is required`` with the details ``filter``.
"""

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import attrs

from ._constants import FILTER_KINDS
from ._formats import parse_date
from ._reply import missing_field

T = TypeVar("T")
Predicate = Callable[[T], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<number>[0-9]{1,18})|(?P<word>[A-Za-z_]+)|(?P<sign>!=|<=|>=|[=<>(),]))"
)
_MAX_DEPTH = 50

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
class FilterableField(Generic[T]):
    """A field of a record that a filter can compare, and how to read its value."""

    kind: Literal["number", "text", "date"]
    of: Callable[[T], int | str | dt.date | None]


def compile_filter(text: str, fields: Mapping[str, FilterableField[T]]) -> Predicate[T]:
    """Return a predicate for the filter *text*; an empty text accepts every record."""
    if not text:
        return lambda _: True
    parser = _FilterParser(_tokens(text), fields)
    test = parser.parse_or()
    if parser.tokens:
        raise missing_field("filter")
    return test


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise missing_field("filter")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


@attrs.define
class _FilterParser(Generic[T]):
    """A recursive-descent parser: `parse_or` → `parse_and` → `parse_group` → `parse_condition`."""

    tokens: list[str]
    fields: Mapping[str, FilterableField[T]]
    depth: int = 0

    def next(self, *expected: str) -> str:
        if not self.tokens or (expected and self.tokens[0] not in expected):
            raise missing_field("filter")
        return self.tokens.pop(0)

    def skip(self, token: str) -> bool:
        if self.tokens[:1] != [token]:
            return False
        self.tokens.pop(0)
        return True

    def parse_or(self) -> Predicate[T]:
        tests = [self.parse_and()]
        while self.skip("or"):
            tests.append(self.parse_and())
        return lambda record: any(test(record) for test in tests)

    def parse_and(self) -> Predicate[T]:
        tests = [self.parse_group()]
        while self.skip("and"):
            tests.append(self.parse_group())
        return lambda record: all(test(record) for test in tests)

    def parse_group(self) -> Predicate[T]:
        if not self.skip("("):
            return self.parse_condition()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise missing_field("filter")
        test = self.parse_or()
        self.next(")")
        self.depth -= 1
        return test

    def parse_condition(self) -> Predicate[T]:
        field = self.fields.get(self.next())
        if field is None:
            raise missing_field("filter")
        operators = _OPERATORS[field.kind]
        sign = self.next(*operators)
        operand = self.parse_numbers() if sign == "in" else self.parse_operand(field.kind)

        def test(record: T) -> bool:
            value = field.of(record)
            return value is not None and operators[sign](value, operand)

        return test

    def parse_numbers(self) -> list[int]:
        self.next("(")
        numbers = [self.parse_number()]
        while self.next(",", ")") == ",":
            numbers.append(self.parse_number())
        return numbers

    def parse_number(self) -> int:
        token = self.next()
        if not token.isdecimal():
            raise missing_field("filter")
        return int(token)

    def parse_operand(self, kind: str) -> int | str | dt.date:
        if kind == "number":
            return self.parse_number()
        token = self.next()
        if not token.startswith("'"):
            raise missing_field("filter")
        if kind == "text":
            return token[1:-1]
        try:
            return parse_date(token[1:-1])
        except ValueError:
            raise missing_field("filter") from None
