"""A task with a value of each format, which the tests of this folder share."""

import datetime as dt
from decimal import Decimal

from worksection_async.models import Relation, Relations, Task, TaskRef, User

TASK = Task(
    id=26,
    name="Owl",
    status="active",
    user_to=User(id=3, email="anna@example.com", name="Anna"),
    date_added=dt.datetime(2026, 12, 1, 9, 30),
    date_end=dt.date(2026, 12, 31),
    time_end=dt.time(18, 0),
    max_time=dt.timedelta(hours=1.5),
    max_money=Decimal("12.50"),
    tags={7: "Review"},
    relations=Relations(from_=(Relation(task=TaskRef(id=25)),)),
    child=(Task(id=27),),
    extra={"mood": ["good"]},
)
