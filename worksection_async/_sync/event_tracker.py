"""Finds the new events of a reply, and the next position. Pure: no clock, event loop or socket.

The service returns the events of a period that ends now. Its times have minute precision and no UTC offset, and its
events have no ids. So each period overlaps the previous one, and events that were yielded before are recognised by
their content and their number, and skipped.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..models import Event
from .cursor import Cursor, Seen, label_time, to_utc

OVERLAP = dt.timedelta(minutes=3)
"""How much two periods overlap, if the reply is made at once."""

MIN_OVERLAP = dt.timedelta(minutes=2)
"""How much they overlap at least: one minute for the precision of times, one for events that are listed late."""

MEMORY = dt.timedelta(days=1) + 2 * OVERLAP
"""For how long yielded events are remembered: long periods are rounded up to whole days."""

PRECISION = dt.timedelta(minutes=1)
"""Of times, and of periods up to `EXACT_PERIOD`."""

EXACT_PERIOD = dt.timedelta(hours=6)
"""Shorter periods are rounded up to minutes only."""

RETENTION = dt.timedelta(days=30)
"""For how long the service stores events."""

HOUR = dt.timedelta(hours=1)

CLOCK_TOLERANCE = dt.timedelta(seconds=5)
"""How much the clock that sets the times of events may be behind the clock of the header ``Date``."""

UTC_OFFSET_STEP, MAX_UTC_OFFSET = dt.timedelta(minutes=15), dt.timedelta(hours=14)


class EventTracker:
    """Finds the new events in each reply and moves the cursor.

    Args:
        cursor: Where to start.
        projects: Only events of these projects are yielded; None means all.
    """

    def __init__(self, cursor: Cursor, projects: Iterable[int] | None = None) -> None:
        self.projects = None if projects is None else frozenset(projects)
        self._position = cursor.looked_at
        self._since = cursor.since
        self._seen = dict(cursor.seen)
        self._pending: deque[Event] = deque()
        self._looked_at = self._replied_at = cursor.looked_at
        self._is_newest_first = True
        """The order of replies, which is not documented; a reply with several times shows it."""

    @property
    def cursor(self) -> Cursor:
        """The position after the last event that `take` returned."""
        seen, _ = _recent(self._seen, to_utc(self._replied_at))
        return Cursor(looked_at=self._position, since=self._since, seen=seen)

    @property
    def has_new(self) -> bool:
        """Whether `take` would return an event."""
        return bool(self._pending)

    def begin_at(self, moment: float) -> None:
        """Start at *moment*: earlier events are not yielded."""
        self._position = self._since = moment

    def period(self, now: float, spare: float = 0.0) -> dt.timedelta:
        """Return the period to ask for at *now*, if the request may arrive *spare* seconds later."""
        gap = dt.timedelta(seconds=max(0.0, now - self._position))
        return min(RETENTION, gap + dt.timedelta(seconds=spare) + OVERLAP)

    def covers(self, period: dt.timedelta, now: float) -> bool:
        """Return True if *period* reaches back to the position, although the reply was made as late as *now*."""
        needed = dt.timedelta(seconds=now - self._position) + MIN_OVERLAP
        return period >= min(RETENTION, needed)

    def skip_lost(self, now: float) -> float | None:
        """Move the position past the events that the service does not store any more at *now*.

        Returns:
            The position before, or None if no event is lost.
        """
        before, first_stored = self._position, now - RETENTION.total_seconds()
        if before >= first_stored - OVERLAP.total_seconds():
            return None
        self._position = first_stored
        return before

    def oldest_first(self, events: Sequence[Event]) -> list[Event]:
        """Return the events of one reply in the order in which they happened."""
        dated = [_label(event) for event in events if event.date_added]
        if dated and dated[0] != dated[-1]:
            self._is_newest_first = dated[0] > dated[-1]
        return sorted(reversed(events) if self._is_newest_first else events, key=_label)

    def add(self, events: Sequence[Event], *, period: dt.timedelta, looked_at: float, now: float) -> None:
        """Accept a reply, after all events of the last one were taken.

        Args:
            events: All events of the reply, those of one minute in the order in which they happened.
            period: The period that was asked for.
            looked_at: A time before which the reply was not made; the next period starts there.
            now: A time after which the reply was not made.
        """
        utc_now = to_utc(now)
        self._seen, horizon = _recent(self._seen, utc_now)
        start = self._start_label(events, utc_now)
        self._looked_at, self._replied_at = looked_at, now
        reach = looked_at - (period + PRECISION).total_seconds() if period <= EXACT_PERIOD else -math.inf
        self._pending.extend(self._new(sorted(events, key=_label), start, horizon, reach))
        self._move_on()

    def take(self) -> Event | None:
        """Return the next new event, or None if all events of the last reply were taken."""
        if not self._pending:
            return None
        event = self._pending.popleft()
        self._remember(event)
        self._move_on()
        return event

    def _remember(self, event: Event) -> None:
        when, found = self._seen.get(event.key, ("", ()))
        self._seen[event.key] = (str(_label(event)) if event.date_added else when), (*found, self._replied_at)

    def _move_on(self) -> None:
        if not self._pending:
            self._position = self._looked_at

    def _new(self, events: Sequence[Event], start: dt.datetime, horizon: dt.datetime, reach: float) -> Iterator[Event]:
        """Yield those of *events* that were not yielded before; events without a time are never too old.

        What was found before *reach* cannot be in this reply. That matters in the hour that is repeated in autumn: an
        equal event an hour later is another one.
        """
        left = {
            event.key: sum(_may_be_of(event, moment, reach) for moment in self._seen[event.key][1])
            for event in events
            if event.key in self._seen
        }
        for event in events:
            key, label = event.key, _label(event)
            if left.get(key, 0) > 0:
                left[key] -= 1
                continue
            begins = start - HOUR if _is_repeated(event) and start > dt.datetime.min else start
            if event.date_added is not None and label < max(begins, horizon):
                if label >= horizon:  # remembered, because a later reply may not tell that it is from before the start
                    self._remember(event)
            elif self.projects is None or event.id_project in self.projects:
                yield event

    def _start_label(self, events: Sequence[Event], utc_now: dt.datetime) -> dt.datetime:
        """Return the start in the time zone of *events*, rounded down to the minute.

        The zone is not known. No event is in the future, so the smallest offset from UTC for which this is true is the
        offset of the zone if an event is at most ten minutes old. Otherwise it may be too small, and the start too
        early; it is never too late.
        """
        newest = _newest((_label(event) for event in events if event.date_added), utc_now)
        if self._since is None or newest is None:
            return dt.datetime.min
        offset = -((utc_now + OVERLAP - newest) // UTC_OFFSET_STEP) * UTC_OFFSET_STEP
        return (to_utc(self._since) - CLOCK_TOLERANCE + offset).replace(second=0, microsecond=0)


def _recent(seen: Mapping[str, Seen], utc_now: dt.datetime) -> tuple[dict[str, Seen], dt.datetime]:
    """Return the events that may be returned again, and the time before which an event is never yielded again."""
    newest = _newest((label_time(when) for when, _ in seen.values() if when), utc_now)
    horizon = dt.datetime.min if newest is None else newest - MEMORY
    return {key: kept for key, kept in seen.items() if not kept[0] or label_time(kept[0]) >= horizon}, horizon


def _newest(labels: Iterable[dt.datetime], utc_now: dt.datetime) -> dt.datetime | None:
    """Return the newest of *labels*, without those that are wrong: in the future in every time zone, or ages ago."""
    first, last = utc_now - 2 * RETENTION, utc_now + MAX_UTC_OFFSET + OVERLAP
    plain = (label.replace(tzinfo=None) for label in labels)
    return max((label for label in plain if first <= label <= last), default=None)


def oldest_label(events: Iterable[Event]) -> dt.datetime:
    """Return the time of the oldest event; without events, the end of time."""
    return min((_label(event) for event in events if event.date_added), default=dt.datetime.max)


def newest_label(events: Iterable[Event]) -> dt.datetime:
    """Return the time of the newest event; without events, the beginning of time."""
    return max((_label(event) for event in events if event.date_added), default=dt.datetime.min)


def _label(event: Event) -> dt.datetime:
    """Return the time of *event* as the service wrote it."""
    return (event.date_added or dt.datetime.min).replace(tzinfo=None)


def _is_repeated(event: Event) -> bool:
    """Return True if the time of *event* occurs twice, because summer time ends; known only if the time has a zone."""
    time = event.date_added
    if time is None or time.tzinfo is None:
        return False
    first, second = (time.replace(fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


def _may_be_of(event: Event, found: float, reach: float) -> bool:
    """Return whether an equal event that was *found* at a time can be in a reply that goes back to *reach*."""
    if not _is_repeated(event) or event.date_added is None:
        return True
    first, second = (event.date_added.replace(fold=fold).timestamp() for fold in (0, 1))
    return (found if found >= second else first + 60.0) >= reach
