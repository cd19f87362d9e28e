"""The language of ``filter``, as values: fields are compared, comparisons are joined, and all is written as text.

What is known of the language: numbers stand bare, texts and dates between apostrophes, lists in parentheses; ``and``
and ``or`` are lower-case, and which binds tighter is not documented, so that a change from one to the other always
gets parentheses. No escape is known, neither for an apostrophe nor for a backslash: a text with one of them is refused.

The type of a `Filter` says which actions understand it. It is contravariant: what is asked of fewer actions takes more.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, TypeVar

import attrs

from .formats import to_date, to_id, to_str

A_contra = TypeVar("A_contra", bound=str, contravariant=True)

JOIN = "conditions are joined by & (and) and | (or), each comparison in parentheses"


class Filter(Generic[A_contra]):
    """A condition on records, or several of them; made with `F`, read by the service.

    ``&`` and ``|`` join two of them. ``str()`` is the text the service reads. The type argument names the actions that
    know all its fields.

    Raises:
        TypeError: Something else is made of it: ``not``, ``~``, ``and``, ``or``, a chain of comparisons. The service
            has no "not".
    """

    __slots__ = ()

    def comparisons(self) -> Iterator[Comparison[Any]]:
        """What it is made of, from left to right."""
        raise NotImplementedError

    def __and__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return joined("and", self, other)

    def __or__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return joined("or", self, other)

    # Reached only when the left side is no filter. To type checkers they say that the right side may be the one that
    # fewer actions understand.

    def __rand__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return joined("and", other, self)

    def __ror__(self, other: Filter[A_contra]) -> Filter[A_contra]:
        return joined("or", other, self)

    def __bool__(self) -> Never:
        raise TypeError(f"a filter is neither true nor false: {JOIN}")

    def __repr__(self) -> str:
        return f"<Filter {self}>"

    if not TYPE_CHECKING:  # type checkers find these mistakes by themselves

        def __invert__(self) -> Never:
            raise TypeError('the service has no "not"; dates know !=')

        def _unordered(self, _: object) -> Never:
            raise TypeError(f"a filter cannot be compared: {JOIN}")

        __lt__ = __le__ = __gt__ = __ge__ = _unordered


@attrs.frozen(repr=False)
class Comparison(Filter[A_contra]):
    """A field, an operator, and what the field is compared with, as it is written."""

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
    """Several filters, of which all (``and``) or any (``or``) must hold."""

    word: str
    parts: tuple[Filter[Any], ...]

    def comparisons(self) -> Iterator[Comparison[Any]]:
        for part in self.parts:
            yield from part.comparisons()

    def __str__(self) -> str:
        texts = (f"({part})" if isinstance(part, Joined) else str(part) for part in self.parts)
        return f" {self.word} ".join(texts)


def joined(word: str, *filters: Filter[A_contra]) -> Filter[A_contra]:
    """*filters* as one; those joined by the same word already stand side by side."""
    parts: list[Filter[Any]] = []
    for part in filters:
        if not isinstance(part, Filter):
            raise TypeError(f"{JOIN}: not {type(part).__name__}")
        parts += part.parts if isinstance(part, Joined) and part.word == word else [part]
    return Joined(word, tuple(parts))


# Fields


@attrs.frozen(eq=False)
class Field(Generic[A_contra]):
    """Something to ask about; what kind of field it is says how."""

    name: str

    KNOWS: ClassVar[str]
    """The comparisons it has, for people."""

    def _is(self, operator: str, operand: str) -> Filter[A_contra]:
        return Comparison(self.name, operator, operand)

    def __bool__(self) -> Never:
        raise TypeError(f"{self.name} alone is no condition: compare it with something")

    if not TYPE_CHECKING:  # type checkers find these mistakes by themselves

        def _unknown(self, _: object) -> Never:
            raise TypeError(f"{self.name} can be asked by {self.KNOWS} only")

        def _unjoined(self, _: object) -> Never:
            raise TypeError(f"{self.name} alone is no condition: {JOIN}")

        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
        __and__ = __or__ = __rand__ = __ror__ = _unjoined


class NumberField(Field[A_contra]):
    """The number of a record: ``== 26``, ``.is_in([26, 27])``.

    Raises:
        ValueError: Compared with something else than positive whole numbers, or with none at all.
        TypeError: Compared in another way; the service knows ``=`` and ``in``.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    KNOWS = "== and is_in()"

    def __eq__(self, number: int) -> Filter[A_contra]:  # type: ignore[override]
        return self._is("=", _number(number))

    def is_in(self, numbers: Iterable[int]) -> Filter[A_contra]:
        """It is one of *numbers*, of which there must be at least one."""
        if isinstance(numbers, str | bytes) or not isinstance(numbers, Iterable):
            raise ValueError(f"several numbers expected, not {type(numbers).__name__}")
        written = [_number(number) for number in numbers]
        if not written:
            raise ValueError("a list of numbers cannot be empty: nothing would be found")
        return self._is("in", f"({', '.join(written)})")


class TextField(Field[A_contra]):
    r"""A text: ``== "Report"`` for the whole, ``.has("port")`` for a part.

    Whether case matters, and whether ``%`` and ``_`` mean more than themselves, is not documented.

    Raises:
        ValueError: The text has an apostrophe (``'``) or a backslash, for which no escape is known, or a control
            character such as a newline. An apostrophe written as ``’`` is no such. Search for the parts on both sides:
            ``F.name.has("Rock") & F.name.has("roll")`` finds more than ``Rock'n'roll``, and that as well.
        TypeError: Compared in another way; the service knows ``=`` and ``has``.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    KNOWS = "== and has()"

    def __eq__(self, text: str) -> Filter[A_contra]:  # type: ignore[override]
        return self._is("=", _text(text))

    def has(self, text: str) -> Filter[A_contra]:
        """It contains *text*, which cannot be blank."""
        written = _text(text)
        if not text.strip():
            raise ValueError("a part of a text cannot be blank")
        return self._is("has", written)


class DateField(Field[A_contra]):
    """A day: ``==``, ``!=``, ``<``, ``<=``, ``>`` and ``>=`` with a `datetime.date`.

    Whether a record without that day fits ``!=`` is not documented.

    Raises:
        ValueError: Compared with something else. A `datetime.datetime` is refused as well: its time of day would not
            count.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    KNOWS = "== != < <= > >="

    def __eq__(self, day: dt.date) -> Filter[A_contra]:  # type: ignore[override]
        return self._is("=", _day(day))

    def __ne__(self, day: dt.date) -> Filter[A_contra]:  # type: ignore[override]
        return self._is("!=", _day(day))

    def __lt__(self, day: dt.date) -> Filter[A_contra]:
        return self._is("<", _day(day))

    def __le__(self, day: dt.date) -> Filter[A_contra]:
        return self._is("<=", _day(day))

    def __gt__(self, day: dt.date) -> Filter[A_contra]:
        return self._is(">", _day(day))

    def __ge__(self, day: dt.date) -> Filter[A_contra]:
        return self._is(">=", _day(day))


class FieldNames:
    """Where the fields are: a name that is none is answered with those that are."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            known = ", ".join(each for each, it in vars(type(self)).items() if isinstance(it, Field))
            raise AttributeError(f"filters have no field {name!r}; known are {known}", name=name, obj=self)


def _number(value: object) -> str:
    if not isinstance(value, int):
        raise ValueError(f"a number expected, not {value!r}")
    return str(to_id(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text expected, not {type(value).__name__}")
    if match := re.search(r"['\\\x00-\x1f\x7f-\x9f]", value):
        raise ValueError(
            f"{match[0]!r} cannot be part of a filter, as no escape for it is known; search for the parts around it"
        )
    return f"'{to_str(value)}'"


def _day(value: object) -> str:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise ValueError(f"a date expected, not {type(value).__name__}")
    return f"'{to_date(value)}'"
