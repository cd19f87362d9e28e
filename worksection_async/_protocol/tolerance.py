"""Reads values that the compiled hooks refused, part by part, and skips an invalid value that may be absent."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, get_args

import attrs

from ..errors import mask_secrets
from ..models._field_types import is_map, is_optional, is_tuple, without_none
from ..models._reply_formats import shown
from .layout import as_list, as_map, is_essential, is_model, key_of, layout_of, value_hook

Hook = Callable[..., Any]
"""Called with a value; cattrs adds its type, which no hook uses."""

logger = logging.getLogger("worksection_async")


class Malformed(Exception):
    """An invalid value in a reply; ``path`` is its JSON path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


@attrs.frozen(eq=False)
class SecondPass:
    """The second attempt to read a value of a reply, after the compiled hook of its type failed.

    It reads each part with the compiled hook, and descends only into the part that this hook refuses. The value of a
    field that is not essential becomes the default of the field, and is kept in ``extra``.
    """

    hook_of: Callable[[Any], Hook]
    """Returns the compiled hook of a type."""
    strict: bool
    """Whether the invalid value of any field is an error."""
    _reported: dict[tuple[str, str], object] = attrs.field(factory=dict, init=False)

    def read(self, path: str, value: Any, type_: Any) -> Any:
        """Return *value* as *type_*. Raises `Malformed` with the path of the value that is invalid."""
        if is_optional(type_) and is_model(given := without_none(type_)):
            type_ = given
        with _naming(path):
            if is_model(type_):
                return self._read_model(path, value, type_)
            if is_tuple(type_):
                return self._read_tuple(path, value, get_args(type_)[0])
            if is_map(type_):
                return self._read_map(path, value, *get_args(type_))
            return self.hook_of(type_)(value)

    def _read_part(self, path: str, value: Any, type_: Any) -> Any:
        try:
            return self.hook_of(type_)(value)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001
            return self.read(path, value, type_)

    def _read_tuple(self, path: str, value: Any, item_type: Any) -> tuple[Any, ...]:
        items = as_list(value, item_type)
        return tuple([self._read_part(f"{path}[{index}]", item, item_type) for index, item in enumerate(items)])

    def _read_map(self, path: str, value: Any, key_type: Any, item_type: Any) -> dict[Any, Any]:
        result = {}
        for key, item in as_map(value).items():
            place = f"{path}[{key!r}]"
            result[self._read_part(place, key, key_type)] = self._read_part(place, item, item_type)
        return result

    def _read_model(self, path: str, record: Any, model: Any) -> Any:
        layout = layout_of(model)
        normalized, extra = layout.normalize(record)
        values: dict[str, Any] = {}
        for field in layout.fields:
            key = key_of(field)
            if key not in normalized:
                if field.default is attrs.NOTHING:
                    raise Malformed(f"{path}.{key}", "required key missing")
                continue
            sent_key = layout.sent_key(key, record)
            try:
                values[field.name] = self._read_field(f"{path}.{sent_key}", normalized[key], field)
            except Malformed as exc:
                if self.strict or is_essential(field):
                    raise
                extra[sent_key] = record[sent_key]
                self._report(model.__name__, field.name, sent_key, record[sent_key], exc)
        return model(**values, extra=extra)

    def _read_field(self, path: str, value: Any, field: "attrs.Attribute[object]") -> Any:
        if (hook := value_hook(field)) is None:
            return self._read_part(path, value, field.type)
        with _naming(path):
            return hook(value)

    def _report(self, model: str, field: str, key: str, value: object, failure: Malformed) -> None:
        """Log a warning, once per field. `setdefault` is atomic: large replies are read in several threads."""
        mark = object()
        if self._reported.setdefault((model, field), mark) is mark:
            logger.warning(
                "%s.%s in a reply cannot be read and is left empty: got %s %s; at %s: %s. The value is in .extra[%r]. "
                "This is logged once per field and session; Session(strict=True) raises an error instead.",
                model, field, type(value).__name__, shown(value), failure.path, mask_secrets(failure.reason), key,
            )  # fmt: skip


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Raise `Malformed` with *path* instead of the exception of a hook."""
    try:
        yield
    except (Malformed, RecursionError):
        raise
    except Exception as exc:  # noqa: BLE001  # the value comes from the service, so any exception means: invalid
        raise Malformed(path, f"{exc!s:.200}" or type(exc).__name__) from None
