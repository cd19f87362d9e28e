"""A nightly job: the hours of each member, in a CSV file."""

import csv
from collections import Counter
from pathlib import Path

from worksection_async.blocking import BlockingSession


def export_hours(ws: BlockingSession, path: Path) -> int:
    """Write the hours of each member to *path*; return the number of entries."""
    hours: Counter[str] = Counter()
    entries = 0
    for cost in ws.iter_costs():
        entries += 1
        if cost.user_from and cost.time:
            hours[cost.user_from.name] += round(cost.time.total_seconds() / 3600)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("member", "hours"), *sorted(hours.items())])
    return entries
