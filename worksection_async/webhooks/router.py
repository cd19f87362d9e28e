"""`Router`: calls the handlers that are registered for the kind of an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar, get_args

import attrs

from .._protocol.names import nearest
from .._protocol.values import shown
from .._transport.tasks import call_handler
from ..errors import InvalidCall
from ..models import Event, EventAction, EventObjectType, WebhookEvent

Handler = Callable[[Event], Awaitable[object]]
"""A coroutine function that is called with each event."""

H = TypeVar("H", bound=Handler)

KINDS = tuple(f"{action}_{type_}" for type_ in get_args(EventObjectType) for action in get_args(EventAction))
"""The kinds that `Event.kind` can have, as far as they are known."""


@attrs.frozen(kw_only=True)
class RouterStatistics:
    """Counts of events since the router was created. Events whose handlers still run are in none of them."""

    handled: int
    """Events for which all handlers returned."""
    failed: int
    """Events for which a handler raised an error."""
    unhandled: int
    """Events without a handler."""


@attrs.frozen
class _Route:
    """The events that a handler wants."""

    kinds: frozenset[str]
    changed: str | None
    handler: Handler

    def is_for(self, event: Event) -> bool:
        is_changed = self.changed is None or self.changed in event.new or self.changed in event.old
        return event.kind in self.kinds and is_changed


class Router:
    """Calls the handlers that are registered for the kind of an event. It is itself a handler of events.

    ::

        router = Router()

        @router.on("post_task", "close_task")
        async def count(event: Event) -> None: ...

        @router.on("update_task", changed="user_to")
        async def notify(event: Event) -> None: ...

        receiver = WebhookReceiver(router)      # webhooks
        await ws.watch().dispatch_to(router)    # polling
    """

    def __init__(self) -> None:
        self._routes: list[_Route] = []
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Router {len(self._routes)} routes>"

    def on(self, *kinds: WebhookEvent | str, changed: str | None = None, unchecked: bool = False) -> Callable[[H], H]:
        """Return a decorator that registers a coroutine function for events, and returns it unchanged.

        Args:
            kinds: Kinds of events (`Event.kind`), such as ``"post_task"``.
            changed: Only events that set or change this field: it is a key of ``event.new`` or ``event.old``.
            unchecked: Whether a kind may be one that this release does not know.

        Raises:
            InvalidCall: No kind is given, or a kind is unknown (the error names the known ones).
        """
        if not kinds:
            raise InvalidCall("Router", 'on() needs the kinds of the events, such as on("post_task")')
        for kind in kinds:
            if not isinstance(kind, str):
                raise InvalidCall("Router", f'on() takes names such as on("post_task"), got {shown(kind)}')
            if kind not in KINDS and not unchecked:
                advice = "unchecked=True registers an event that this release does not know"
                known = f"known events: {', '.join(KINDS)}{nearest(kind, KINDS)}"
                raise InvalidCall("Router", f"unknown event {kind!a}; {known}. {advice}")
        if changed is not None and (not isinstance(changed, str) or not changed):
            raise InvalidCall("Router", f"changed must be the name of a field, got {shown(changed)}")

        def register(handler: H) -> H:
            self._routes.append(_Route(frozenset(kinds), changed, handler))
            return handler

        return register

    async def dispatch(self, event: Event) -> None:
        """Call the handlers of *event*, one after the other, in the order of their registration.

        A handler is called once per event, even if several of its routes match. An error of a handler does not keep
        the event from the next one.

        Raises:
            ExceptionGroup: The errors of the handlers, after all of them have been called.
        """
        handlers = self._handlers(event)
        errors: list[Exception] = []
        for handler in handlers:
            try:
                await call_handler(handler, event)
            except Exception as exc:  # noqa: BLE001  # raised below, after the other handlers
                errors.append(exc)
        self._counts["failed" if errors else "handled" if handlers else "unhandled"] += 1
        if errors:
            failed = f"{len(errors)} of {len(handlers)} handlers failed"
            raise ExceptionGroup(f"{failed} for {event.kind} {event.object.id}", errors)

    async def __call__(self, event: Event) -> None:
        """Do the same as `dispatch`, so that a router can be passed where a handler is expected."""
        await self.dispatch(event)

    def statistics(self) -> RouterStatistics:
        """Return the counts of events so far."""
        return RouterStatistics(**{field.name: self._counts[field.name] for field in attrs.fields(RouterStatistics)})

    def _handlers(self, event: Event) -> list[Handler]:
        handlers: list[Handler] = []
        for route in self._routes:
            if route.is_for(event) and route.handler not in handlers:
                handlers.append(route.handler)
        return handlers
