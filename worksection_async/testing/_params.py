"""Decodes the parameters of a request, and converts them for the actions."""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import attrs

from ._formats import parse_date, parse_decimal, parse_hours
from ._reply import ServiceRefusal, missing_field

T = TypeVar("T")


def read_query(query: bytes) -> dict[str, Any]:
    """Decode a query as PHP does: ``todo[]=a&todo[]=b`` is a list, the last duplicate wins. Dots in names are kept."""
    params: dict[str, Any] = {}
    for pair in query.decode(errors="replace").split("&"):
        name, _, value = (unquote_plus(part) for part in pair.partition("="))
        if name.endswith("[]"):
            params.setdefault(name[:-2], []).append(value)
        elif name:
            params[name] = value
    return params


def read_json(body: bytes) -> dict[str, Any]:
    """Decode a JSON body; raise `ServiceRefusal` for any other body, including forms."""
    if not body:
        return {}
    try:
        params = json.loads(body)
    except ValueError:
        raise ServiceRefusal("invalid JSON") from None
    if not isinstance(params, dict):
        raise ServiceRefusal("invalid JSON")
    flat = {name.removesuffix("[]"): value for name, value in params.items()}
    options = flat.pop("options", None)
    return flat | {f"options.{name}": value for name, value in (options or {}).items()}


@attrs.frozen
class Params:
    """Parameters by name. An empty value is treated as absent; an invalid one raises `ServiceRefusal` with the name."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if isinstance(value, bool):
            return str(int(value))
        return str(value).strip() if isinstance(value, str | int | float) else ""

    def given(self, name: str) -> bool:
        value = self.values.get(name)
        return bool(value) if isinstance(value, list | dict) else bool(self.text(name))

    def names(self, name: str) -> list[str]:
        """Return the items of a comma-separated list or of a JSON array."""
        value = self.values.get(name)
        parts = map(str, value) if isinstance(value, list) else self.text(name).split(",")
        return [stripped for part in parts if (stripped := part.strip())]

    def texts(self, name: str) -> list[str]:
        """Return the values of a repeated parameter; a comma does not separate values."""
        value = self.values.get(name)
        return [str(one) for one in value] if isinstance(value, list) else [self.text(name)] * self.given(name)

    def number(self, name: str) -> int:
        """Return an id, or 0 (which no record has) for an invalid one."""
        return _number(self.text(name))

    def numbers(self, name: str) -> list[int]:
        return [_number(one) for one in self.names(name)]

    def flag(self, name: str) -> bool | None:
        return self.text(name) == "1" if self.given(name) else None

    def date(self, name: str) -> dt.date | None:
        return self._parsed(name, parse_date)

    def hours(self, name: str) -> dt.timedelta | None:
        return self._parsed(name, parse_hours)

    def decimal(self, name: str) -> Decimal | None:
        return self._parsed(name, parse_decimal)

    def _parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        if not self.given(name):
            return None
        try:
            return parse(self.text(name))
        except (ValueError, OverflowError):
            raise missing_field(name) from None


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0
