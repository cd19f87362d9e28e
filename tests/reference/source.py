"""Reads signatures and documented members of classes and functions from their source code."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator

import attrs

from worksection_async import Session
from worksection_async._protocol.endpoints import Endpoints
from worksection_async.blocking import BlockingSession
from worksection_async.blocking._endpoints import Endpoints as BlockingEndpoints

ENDPOINTS = {*Endpoints.__mro__, *BlockingEndpoints.__mro__}


@attrs.frozen
class Member:
    """A method, a property or an attribute."""

    name: str
    signature: str
    doc: str
    is_method: bool = False


@functools.cache
def _definition(obj: object) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef:
    [node] = ast.parse(textwrap.dedent(inspect.getsource(obj))).body  # type: ignore[arg-type]
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return node


def signature(obj: object, name: str, *, skip_self: bool = False) -> str:
    """Return the signature of a function as in its source, without ``self``."""
    node = _definition(obj)
    assert not isinstance(node, ast.ClassDef)
    return _signature(node, name, skip_self=skip_self)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, *, skip_self: bool) -> str:
    arguments = node.args
    if skip_self:
        first = arguments.posonlyargs or arguments.args
        arguments = ast.arguments(**{**dict(ast.iter_fields(arguments)), "args": arguments.args[bool(first) :]})
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{prefix} {name}({ast.unparse(arguments)}){returns}: ..."


def constructor(cls: type) -> str:
    """Return the signature of the constructor; of an attrs class its public fields. Empty if it has none to show."""
    owner = next((base for base in cls.__mro__ if "__init__" in vars(base)), object)
    if attrs.has(cls) and owner.__module__ == cls.__module__ and "__attrs_attrs__" in vars(owner):
        fields = [field for field in attrs.fields(cls) if field.init]
        written = {name: (note, value) for name, note, value in _fields(cls)}
        keywords = ["*"] if any(field.kw_only for field in fields) else []
        return f"def {cls.__name__}({', '.join([*keywords, *(_field(field, written) for field in fields)])}): ..."
    if owner is object or not owner.__module__.startswith("worksection_async"):
        return ""
    text = signature(owner.__init__, cls.__name__, skip_self=True)  # type: ignore[misc]
    return text.replace(" -> None: ...", ": ...")


def _field(field: attrs.Attribute[object], written: dict[str, tuple[str, str]]) -> str:
    note = written.get(field.name, ("object", ""))[0]
    has_default = field.default is not attrs.NOTHING
    return f"{field.alias}: {note}{' = ...' if has_default else ''}"


def _fields(cls: type) -> Iterator[tuple[str, str, str]]:
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("worksection_async"):
            for node in _definition(base).body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    yield node.target.id, ast.unparse(node.annotation), ast.unparse(node.value) if node.value else ""


def members(cls: type, stop: type | None = None) -> Iterator[Member]:
    """Yield the public members with a docstring, in the order of the source, without the actions of the service.

    Members of *stop* and its bases, and those that a class has from `Session`, are left out.
    """
    seen: set[str] = {member.name for member in members(stop)} if stop else set()  # dir() has no mere annotations
    if cls is BlockingSession:
        seen |= set(dir(Session))
    for base in cls.__mro__:
        if base in ENDPOINTS or not base.__module__.startswith("worksection_async"):
            continue
        for member in _own_members(base):
            if member.doc and member.name not in seen and not member.name.startswith("_"):
                seen.add(member.name)
                yield member


def _own_members(cls: type) -> Iterator[Member]:
    body = _definition(cls).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            yield Member(name, f"{name}: {ast.unparse(node.annotation)}", _string(following))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_overload(node):
            yield _method(node, _doc(cls, node))


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef, doc: str) -> Member:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if decorators & {"property", "functools.cached_property"}:
        return Member(node.name, f"{node.name}: {ast.unparse(node.returns) if node.returns else ''}", doc)
    plain = _signature(node, node.name, skip_self="staticmethod" not in decorators)
    return Member(node.name, f"@classmethod\n{plain}" if "classmethod" in decorators else plain, doc, is_method=True)


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    return "overload" in names or any(name.endswith(".setter") for name in names)


def _doc(cls: type, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return ast.get_docstring(node) or inspect.getdoc(getattr(cls, node.name, None)) or ""


def _string(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""
