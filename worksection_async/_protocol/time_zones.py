"""The time zone of the account, which the service does not send: checked where the user passes it.

A date-time of a reply is a local time without an offset. It gets the zone by `datetime.replace`, which is right for the
zones of the standard library only: a zone of pytz would give the mean solar time of its city (+02:02 in Kyiv).
"""

import datetime as dt
import zoneinfo

from ..errors import InvalidCall
from .names import nearest

EXPECTED = 'a zoneinfo.ZoneInfo, a datetime.timezone, or an IANA name such as "Europe/Kyiv"'


def to_time_zone(owner: str, tz: object) -> dt.tzinfo | None:
    """Return the argument *tz* of *owner* as a time zone; None stays None.

    Raises:
        InvalidCall: *tz* is another object, or a name that this machine does not know.
    """
    if tz is None:
        return None
    zone = _find(owner, tz) if isinstance(tz, str) else tz
    if not isinstance(zone, zoneinfo.ZoneInfo | dt.timezone):
        raise InvalidCall(owner, f"tz must be {EXPECTED}, got {_description(tz)}")
    try:
        dt.datetime(2026, 1, 1, tzinfo=zone).utcoffset()
    except Exception as exc:  # noqa: BLE001  # the method of a user's subclass of ZoneInfo
        problem = f"tz must be {EXPECTED}; {_description(tz)} fails: {exc!s:.200}"
    else:
        return zone
    raise InvalidCall(owner, problem)


def _find(owner: str, name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):  # OSError: a folder, or a name that is too long
        known = zoneinfo.available_timezones()
    if not known:
        raise InvalidCall(owner, f"tz={name!r:.80}: this machine has no time zones: install the package tzdata")
    raise InvalidCall(
        owner, f"tz: this machine knows no time zone {name!r:.80}{nearest(name, sorted(known))}. Pass {EXPECTED}"
    )


def _description(tz: object) -> str:
    """Return the type of *tz*; with it the IANA name that a zone of pytz and some other libraries has."""
    if isinstance(tz, type):
        return f"the class {tz.__qualname__}"
    name = getattr(tz, "zone", None) if isinstance(tz, dt.tzinfo) else None
    known_as = f' (pass "{name}")' if isinstance(name, str) else ""
    return f"an object of {type(tz).__module__}.{type(tz).__qualname__}{known_as}"
