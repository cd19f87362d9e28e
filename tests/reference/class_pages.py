"""The pages that follow the docstrings: the client and its parts, and the errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from types import ModuleType

import attrs

import worksection_async as ws
from tests.reference import source
from tests.reference.markdown import Link, code_link, docstring, fence, formatted, linked, page, slug, table
from worksection_async import blocking, errors, filters, keyring, login, lookups, models, redis, testing, webhooks
from worksection_async._auth.credentials import Auth
from worksection_async._spec import Spec
from worksection_async.testing import faults

ERROR_INTERNALS = {"in_doubt", "of_read", "given_up"}

Documented = type | Callable[..., object]


@attrs.frozen
class Topic:
    """A page about classes and functions."""

    path: str
    title: str
    intro: str
    content: Sequence[Documented]
    hidden: Collection[str] = ()
    """Members that only the package itself uses."""


def exported(module: ModuleType) -> list[Documented]:
    """Return the public classes and functions of *module*."""
    own = [name for name, it in vars(module).items() if getattr(it, "__module__", "") == module.__name__]
    named = [getattr(module, name) for name in getattr(module, "__all__", own) if not name.startswith("_")]
    return [it for it in named if inspect.isclass(it) or inspect.isfunction(it)]


TOPICS = [
    Topic(
        "client.md",
        "The client",
        "A session has a coroutine for [every action](../actions.md), and the methods of this page. `BlockingSession` "
        "has the same methods without `await`.\n\n"
        "Other classes and functions: [credentials and tokens](credentials.md), "
        "[rate limiter and observation](limiter.md), [events and positions](events.md), "
        "[webhooks, filters and lookups](webhooks.md), "
        "[conversions of models](conversions.md), [the simulator](testing.md).",
        [ws.Session, blocking.BlockingSession, ws.Plan, ws.RawReply, ws.DownloadedFile,
         ws.OpenDownload, ws.DownloadReport, blocking.BlockingStream, blocking.BlockingEventWatch,
         blocking.BlockingEventsSince, blocking.BlockingTagWatch, blocking.BlockingDownload],
    ),
    Topic(
        "credentials.md",
        "Credentials and tokens",
        "Guides: [authentication](../authentication.md), [logging in](../login.md), [staying logged in](../tokens.md).",
        [ws.ApiKey, ws.AccessToken, ws.OAuth2, ws.OAuthApp, ws.Token, ws.TokenStore, ws.MemoryTokenStore,
         ws.FileTokenStore, keyring.KeyringTokenStore, redis.RedisTokenStore, ws.TokenVault, ws.FileTokenVault,
         ws.SQLTokenVault, redis.RedisTokenVault, *exported(login), ws.legacy_page_hash],
        set(dir(Auth)) - {"for_user"},
    ),
    Topic(
        "limiter.md",
        "Rate limiter and observation",
        "Guides: [the rate limit](../waiting.md), [several machines](../machines.md), [observing](../observing.md).",
        [ws.Limiter, ws.TokenBucket, ws.FileTokenBucket, redis.RedisTokenBucket, blocking.BlockingLimiter,
         ws.Statistics, ws.Waiting, ws.CallEvent, ws.OpenTelemetry],
    ),
    Topic(
        "webhooks.md",
        "Webhooks, filters and lookups",
        "Guides: [webhooks](../webhooks.md), [searching and lookups](../searching.md).",
        [*exported(webhooks), redis.RedisMemory, *exported(filters), *exported(lookups)],
    ),
    Topic(
        "events.md",
        "Events and positions",
        "Guide: [events](../events.md).",
        [ws.Cursor, ws.CursorStore, ws.Lease, ws.FileCursor, redis.RedisCursor, ws.Doorbell, redis.RedisDoorbell,
         ws.TagChange],
    ),
    Topic(
        "conversions.md",
        "Conversions of models",
        "Functions of `worksection_async.models`. Guide: [models](../models.md).",
        [models.to_dict, models.to_json, models.from_dict, models.plain, models.Change],
    ),
    Topic(
        "testing.md",
        "The simulator",
        "Guide: [testing your code](../testing.md).",
        [testing.Simulator, testing.VirtualClock, testing.ReceivedRequest, testing.Delivery, testing.Fault,
         *(it for it in exported(faults) if not inspect.isclass(it) and it is not faults.named)],
    ),
]  # fmt: skip


def heading(it: Documented) -> str:
    """Return the heading of a class or function; that of an error is its name."""
    return it.__name__ if not inspect.isclass(it) or it.__name__ in errors.__all__ else f"class {it.__name__}"


def topic_page(topic: Topic, link: Link) -> str:
    """Return the page of *topic*."""
    listed = " · ".join(f"[{it.__name__}](#{slug(heading(it))})" for it in topic.content)
    entries = (_entry(it, link, topic.hidden) for it in topic.content)
    return page(topic.title, listed, topic.intro, *entries, source="the docstrings")


def _entry(it: Documented, link: Link, hidden: Collection[str] = ()) -> str:
    name = it.__name__
    lead = f"`{_public_module(it)}.{name}`"
    if not inspect.isclass(it):
        [code] = formatted([source.signature(it, name)])
        return "\n\n".join([f"## {heading(it)}", lead, fence(_bare(code)), docstring(inspect.getdoc(it), link)])
    members = [member for member in source.members(it, stop=_documented_base(it)) if member.name not in hidden]
    methods = [member for member in members if member.is_method]
    head, *signatures = formatted([source.constructor(it) or "...", *(member.signature for member in methods)])
    parts = [f"## {heading(it)}", lead]
    parts += [fence(_bare(head.replace("def ", "", 1)))] if head != "..." and it.__name__ not in errors.__all__ else []
    parts += [docstring(it.__doc__, link), _inheritance(it, link), _attributes(members, link)]
    for member, code in zip(methods, signatures, strict=True):
        parts += [f"### {name}.{member.name}", fence(_bare(code)), docstring(member.doc, link)]
    return "\n\n".join(part for part in parts if part)


def _bare(code: str) -> str:
    return code.removesuffix(": ...").removesuffix(":\n    ...")


def _documented_base(cls: type) -> type | None:
    """Return the nearest base class that has an entry of its own."""
    documented = {
        *(it for topic in TOPICS for it in topic.content),
        *(getattr(errors, name) for name in errors.__all__),
    }
    return next((base for base in cls.__mro__[1:] if base in documented), None)


def _inheritance(cls: type, link: Link) -> str:
    if cls is blocking.BlockingSession:
        return f"Has the methods of {code_link('Session', link)}, without `await`."
    base = _documented_base(cls)
    return f"Has the members of {code_link(base.__name__, link)}, too." if base else ""


def _attributes(members: Sequence[source.Member], link: Link) -> str:
    rows = [
        (f"`{member.name}`", f"`{member.signature.partition(': ')[2]}`", linked(" ".join(member.doc.split()), link))
        for member in members
        if not member.is_method
    ]
    return table(["attribute", "type", "meaning"], rows)


def _public_module(it: Documented) -> str:
    modules = [ws, blocking, errors, filters, keyring, login, lookups, models, redis, testing, faults, webhooks]
    return next(module.__name__ for module in modules if getattr(module, it.__name__, None) is it)


def error_page(spec: Spec, link: Link) -> str:
    """Return the page of the exceptions, with the messages of the service that each represents."""
    tree = docstring(errors.__doc__, link)
    classes = [getattr(errors, name) for name in errors.__all__]
    ordered = sorted(classes, key=lambda cls: [*(list(errors.__all__).index(base.__name__) for base in _line(cls))])
    intro = "In `worksection_async.errors`. Guide: [errors and retries](../errors.md), with the tree as a picture."
    entries = ("\n\n".join([_entry(cls, link, ERROR_INTERNALS), *_messages(spec, cls)]) for cls in ordered)
    return page("Errors", tree, intro, *entries, source="the docstrings and _spec/service.toml")


def _line(cls: type) -> list[type]:
    """Return the classes from the base of all errors to *cls*."""
    return [base for base in reversed(cls.__mro__) if base.__name__ in errors.__all__]


def _messages(spec: Spec, cls: type) -> Iterator[str]:
    rows = [
        (f"`{it.message}`", "" if it.code is None else str(it.code), it.hint or "", it.evidence)
        for it in spec.service.errors
        if it.kind == cls.__name__
    ]
    if rows:
        yield "Messages of the service:"
        yield table(["message", "code", "what to do", "source"], rows)
