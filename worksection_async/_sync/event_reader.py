"""Reads the events since a position, in one look: one call, or several if a reply is full."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import anyio
import attrs

from .._protocol.endpoints import Endpoints
from .._protocol.formats import to_period
from .._protocol.service import MAX_RECORDS
from .._transport.caller import Caller
from ..errors import EventsLost
from ..models import Event
from .event_tracker import PRECISION, RETENTION, EventTracker, newest_label, oldest_label


@attrs.frozen
class _Reply:
    """The events of a reply, the oldest first, and when it was made, on the service's clock."""

    events: Sequence[Event]
    period: dt.timedelta
    not_before: float
    not_after: float

    @property
    def is_full(self) -> bool:
        """Whether events may be missing: a reply has a maximum number of records."""
        return len(self.events) >= MAX_RECORDS


class EventReader:
    """Reads the events since the position of *tracker*, and passes them to it.

    Args:
        caller: Makes the calls.
        tracker: Knows the position, and gets the events.
        begins_at: The start on this machine's clock (Unix seconds), if the watch is new; None continues at a position.
    """

    def __init__(self, caller: Caller, tracker: EventTracker, begins_at: float | None) -> None:
        self._caller = caller
        self._endpoints = Endpoints(caller)
        self._tracker = tracker
        self._begins_at = begins_at
        self._clock_offset = 0.0
        """Seconds by which the service's clock is ahead of this machine's; known after the first reply."""
        self._waited = 0.0
        """Seconds from the last request for a slot to its reply."""

    async def look(self) -> EventsLost | None:
        """Read the events since the position.

        Returns:
            An error that says which events the service did not list. All others were passed to the tracker.
        """
        projects = self._tracker.projects
        only = next(iter(projects)) if projects and len(projects) == 1 else None
        whole = await self._request(only)
        parts, reason = await self._request_projects(whole) if whole.is_full else ([], "")
        # First the projects: they have all events of a minute, of which the whole may have only the last ones.
        events = _union([*(part.events for part in parts), whole.events])
        position, now = self._tracker.cursor.looked_at, [whole, *parts][-1].not_after
        loss = self._lost_by_age() or (_loss(position, now, reason) if reason else None)
        self._tracker.add(events, period=whole.period, looked_at=whole.not_before, now=now)
        self._begins_at = None
        return loss

    async def _request_projects(self, whole: _Reply) -> tuple[list[_Reply], str]:
        """Request the events of each project, and say why events may be missing nevertheless; empty if none are."""
        projects = self._tracker.projects
        replies: list[_Reply] = []
        reason = ""
        for id_project in projects or [project.id for project in await self._endpoints.get_projects()]:
            parts = await self._request_parts(id_project)
            replies += parts
            if not _are_contiguous(parts):
                reason = f"the project {id_project} has {MAX_RECORDS} events or more"
        listed = {event.key for reply in replies for event in reply.events}
        if not reason and projects is None and any(event.key not in listed for event in whole.events):
            reason = f"there are {MAX_RECORDS} events or more, some of which are of no project that is listed"
        return replies, reason

    async def _request_parts(self, id_project: int) -> list[_Reply]:
        """Request the events of a project, and of shorter periods as long as a reply is full or leaves a gap."""
        parts = [await self._request(id_project)]
        while parts[-1].is_full and parts[-1].period > PRECISION:
            parts.append(await self._request(id_project, parts[-1].period / 2))
        index = 0
        while index + 1 < len(parts):
            longer, shorter = parts[index : index + 2]
            between = (longer.period + shorter.period) / 2
            has_gap = newest_label(longer.events) < oldest_label(shorter.events)
            if has_gap and to_period(between) not in (to_period(longer.period), to_period(shorter.period)):
                parts.insert(index + 1, await self._request(id_project, between))
            else:
                index += 1
        return parts

    async def _request(self, id_project: int | None, period: dt.timedelta | None = None) -> _Reply:
        """Request the events since the position, or those of a shorter *period*."""
        while True:
            asked = period or self._tracker.period(self._now(), self._waited)
            started_at = anyio.current_time()
            events = await self._endpoints.get_events(asked, id_project=id_project)
            self._waited = anyio.current_time() - started_at
            self._set_clock()
            now = self._now()
            # The period ended when the service made the reply. It was too short if the call waited in the queue for
            # long, or if the clock of this machine is wrong, which the first reply shows.
            if period or self._tracker.covers(asked, now):
                return _Reply(self._tracker.oldest_first(events), asked, now - self._waited, now)

    def _now(self) -> float:
        """Return the time on the service's clock; before the first reply, on this machine's clock."""
        return self._caller.clock.time() + self._clock_offset

    def _set_clock(self) -> None:
        """Adopt the service's clock from the last reply; all times of the cursor are on it."""
        replied_at = self._caller.replied_at()
        if replied_at is not None:
            # Too low by the delay of the reply, never too high.
            self._clock_offset = replied_at - self._caller.clock.time()
        if self._begins_at is not None:
            self._tracker.begin_at(self._begins_at + self._clock_offset)

    def _lost_by_age(self) -> EventsLost | None:
        if self._begins_at is not None:
            return None
        position = self._tracker.skip_lost(self._now())
        if position is None:
            return None
        return _loss(position, self._tracker.cursor.looked_at, f"the service stores events for {RETENTION.days} days")


def _loss(since: float, until: float, reason: str) -> EventsLost:
    return EventsLost(dt.datetime.fromtimestamp(since, dt.UTC), dt.datetime.fromtimestamp(until, dt.UTC), reason)


def _are_contiguous(parts: Sequence[_Reply]) -> bool:
    """Return whether replies for shorter and shorter periods leave no gap.

    They do not if a full reply has the oldest events of its period, and the next reply begins before its last one. If
    a full reply has the newest events instead, the oldest are missing, and it ends with the same event as the next one.
    """
    for longer, shorter in itertools.pairwise(parts):
        if not oldest_label(shorter.events) <= newest_label(longer.events) < newest_label(shorter.events):
            return False
    return not parts[-1].is_full


def _union(replies: Iterable[Sequence[Event]]) -> list[Event]:
    """Return each event as often as the reply with the most of it lists it."""
    events: list[Event] = []
    found: Counter[str] = Counter()
    for reply in replies:
        count: Counter[str] = Counter()
        for event in reply:
            count[event.key] += 1
            if count[event.key] > found[event.key]:
                found[event.key] += 1
                events.append(event)
    return events
