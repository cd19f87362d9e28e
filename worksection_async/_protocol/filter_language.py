"""Expressions for the parameter ``filter``: comparisons of fields, joined by ``and`` and ``or``, with a text form.

Syntax of the service: numbers are bare, texts and dates are between apostrophes, lists are in parentheses, ``and`` and
``or`` are lower-case. Their precedence is not documented, so each change from one to the other gets parentheses. No
escape is known for an apostrophe, a backslash or a control character: ``has`` searches for the parts between them, and
``=`` refuses them.

The type argument of `Filter` names the actions that accept it. It is contravariant: a `Filter` for more actions can be
used where one for fewer actions is required.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, TypeVar

import attrs

from ..errors import InvalidCall
from .formats import to_date, to_id, to_str
from .values import as_integer, shown

A_contra = TypeVar("A_contra", bound=str, contravariant=True)

UNSENDABLE = re.compile(r"['\\\x00-\x1f\x7f-\x9f]")
"""Characters that a text of a filter cannot contain, because no escape for them is known."""

JOIN_HINT = "join conditions with & (and) and | (or), with each comparison in parentheses"


class Filter(Generic[A_contra]):
    """A condition on records, or several joined conditions; built with `F`.

    ``&`` and ``|`` join two filters. ``str()`` returns the text that is sent. The type argument names the actions that
    support all its fields.

    Raises:
        TypeError: Another operation is used: ``not``, ``~``, ``and``, ``or``, a chained comparison. The service has no
            "not".
    """

    __slots__ = ()

    def comparisons(self) -> Iterator[Comparison[Any]]:
        """Yield all comparisons, from left to right."""
        raise NotImplementedError

    def __and__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return join("and", self, other)

    def __or__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return join("or", self, other)

    # At run time, these are reached only if the left side is not a filter. For type checkers, they allow that fewer
    # actions accept the right side than the left side.

    def __rand__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return join("and", other, self)

    def __ror__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return join("or", other, self)

    def __bool__(self) -> Never:
        raise TypeError(f"a filter has no truth value: {JOIN_HINT}")

    def __repr__(self) -> str:
        return f"<Filter {self}>"

    if not TYPE_CHECKING:  # type checkers report these mistakes themselves

        def __invert__(self) -> Never:
            raise TypeError('the service has no "not"; date fields support !=')

        def _unordered(self, _: object) -> Never:
            raise TypeError(f"filters cannot be compared with each other: {JOIN_HINT}")

        __lt__ = __le__ = __gt__ = __ge__ = _unordered


@attrs.frozen(repr=False)
class Comparison(Filter[A_contra]):
    """One comparison; ``operand`` is text in the syntax of the service."""

    field: str
    operator: str
    operand: str

    def comparisons(self) -> Iterator[Comparison[Any]]:
        yield self

    def __str__(self) -> str:
        space = " " if self.operator.isalpha() else ""
        return f"{self.field}{space}{self.operator}{space}{self.operand}"


@attrs.frozen(repr=False)
class Joined(Filter[A_contra]):
    """Several filters that are joined by ``and`` or ``or``."""

    word: str
    parts: tuple[Filter[Any], ...]

    def comparisons(self) -> Iterator[Comparison[Any]]:
        for part in self.parts:
            yield from part.comparisons()

    def __str__(self) -> str:
        texts = (f"({part})" if isinstance(part, Joined) else str(part) for part in self.parts)
        return f" {self.word} ".join(texts)


def join(word: str, *filters: Filter[A_contra]) -> Filter[A_contra]:
    """Join *filters* by *word*; filters that are joined by the same word already are flattened."""
    parts: list[Filter[Any]] = []
    for part in filters:
        if not isinstance(part, Filter):
            raise TypeError(f"{JOIN_HINT}; got {type(part).__name__}")
        parts += part.parts if isinstance(part, Joined) and part.word == word else [part]
    return Joined(word, tuple(parts))


# Fields


@attrs.frozen(eq=False)
class Field(Generic[A_contra]):
    """A field of a record; the subclass defines the operators."""

    name: str

    OPERATORS: ClassVar[str]
    """The supported operators, for error messages."""

    def _compare(self, operator: str, encode: Callable[[Any], str], value: object) -> Filter[A_contra]:
        try:
            return Comparison(self.name, operator, encode(value))
        except ValueError as exc:
            raise InvalidCall(f"F.{self.name}", str(exc)) from None

    def __bool__(self) -> Never:
        raise TypeError(f"{self.name} alone is not a condition: compare it with a value")

    if not TYPE_CHECKING:  # type checkers report these mistakes themselves

        def _unsupported(self, _: object) -> Never:
            raise TypeError(f"{self.name} supports only {self.OPERATORS}")

        def _unjoined(self, _: object) -> Never:
            raise TypeError(f"{self.name} alone is not a condition: {JOIN_HINT}")

        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unsupported
        __and__ = __or__ = __rand__ = __ror__ = _unjoined


class NumberField(Field[A_contra]):
    """The id of a record: ``== 26``, ``.is_in([26, 27])``.

    Raises:
        InvalidCall: A value is not a positive integer, or the list is empty.
        TypeError: Another operator is used; the service supports ``=`` and ``in``.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    OPERATORS: ClassVar[str] = "== and is_in()"

    def __eq__(self, number: int) -> Filter[A_contra]:  # type: ignore[override]
        return self._compare("=", _number, number)

    def is_in(self, numbers: Iterable[int]) -> Filter[A_contra]:
        """Compare with a list of at least one number."""
        return self._compare("in", _numbers, numbers)


class TextField(Field[A_contra]):
    r"""A text: ``== "Report"`` for the whole text, ``.has("port")`` for a part.

    It is not documented if case matters, and if ``%`` and ``_`` are wildcards.

    Raises:
        InvalidCall: The text of ``==`` has an apostrophe (``'``) or a backslash, for which no escape is known, or a
            control character such as a newline; ``’`` is allowed. The text of ``has`` is blank.
        TypeError: Another operator is used; the service supports ``=`` and ``has``.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    OPERATORS: ClassVar[str] = "== and has()"

    def __eq__(self, text: str) -> Filter[A_contra]:  # type: ignore[override]
        return self._compare("=", _text, text)

    def has(self, text: str) -> Filter[A_contra]:
        """Compare with a part of the text, which must not be blank.

        A part with apostrophes, backslashes or control characters, for which no escape is known, is searched by the
        texts between them: ``F.name.has("Rock'n'roll")`` finds the names that contain ``Rock``, ``n`` and ``roll``.
        These are all names that contain *text*, and possibly more: check the results.
        """
        parts = [part for part in UNSENDABLE.split(text) if part.strip()] if isinstance(text, str) else []
        if len(parts) > 1:
            return join("and", *(self._compare("has", _part, part) for part in parts))
        return self._compare("has", _part, parts[0] if parts else text)


class DateField(Field[A_contra]):
    """A day: ``==``, ``!=``, ``<``, ``<=``, ``>`` and ``>=`` with a `datetime.date`.

    It is not documented if a record without a date matches ``!=``.

    Raises:
        InvalidCall: The value is not a date. A `datetime.datetime` is refused too, because its time would be ignored.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    OPERATORS: ClassVar[str] = "== != < <= > >="

    def __eq__(self, day: dt.date) -> Filter[A_contra]:  # type: ignore[override]
        return self._compare("=", _day, day)

    def __ne__(self, day: dt.date) -> Filter[A_contra]:  # type: ignore[override]
        return self._compare("!=", _day, day)

    def __lt__(self, day: dt.date) -> Filter[A_contra]:
        return self._compare("<", _day, day)

    def __le__(self, day: dt.date) -> Filter[A_contra]:
        return self._compare("<=", _day, day)

    def __gt__(self, day: dt.date) -> Filter[A_contra]:
        return self._compare(">", _day, day)

    def __ge__(self, day: dt.date) -> Filter[A_contra]:
        return self._compare(">=", _day, day)


class FieldNames:
    """The fields as attributes. An unknown name raises `AttributeError` and lists the known fields."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            known = ", ".join(each for each, it in vars(type(self)).items() if isinstance(it, Field))
            raise AttributeError(f"unknown filter field {name!r}; known fields: {known}", name=name, obj=self)


def _number(value: object) -> str:
    if as_integer(value) is None:
        raise ValueError(f"must be a number, got {shown(value)}")
    return str(to_id(value))


def _numbers(values: object) -> str:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"must be a sequence of numbers, got {type(values).__name__}")
    written = [_number(value) for value in values]
    if not written:
        raise ValueError("the list of numbers must not be empty")
    return f"({', '.join(written)})"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, got {type(value).__name__}")
    if match := UNSENDABLE.search(value):
        raise ValueError(f"{match[0]!r} is not possible in a filter, as no escape for it is known: use has()")
    return f"'{to_str(value)}'"


def _part(value: object) -> str:
    if isinstance(value, str) and not UNSENDABLE.sub("", value).strip():
        raise ValueError(f"a part of a text must not be blank or consist of apostrophes, got {shown(value)}")
    return _text(value)


def _day(value: object) -> str:
    if not isinstance(value, dt.date):
        raise ValueError(f"must be a date, got {type(value).__name__}")
    return f"'{to_date(value)}'"
