"""Conditions for the ``filter`` of `search_tasks`, `get_costs` and `get_costs_total`.

::

    from worksection_async.filters import F

    late = F.name.has("Report") & (F.dateend < date(2026, 5, 25))
    tasks = await ws.search_tasks(filter=late | F.id.is_in([1234, 1240]))

`F` has the fields under the service's names. Which of them an action knows, and by which operators, is part of the type
of a `Filter`, and checked again before anything is sent (`InvalidCall`).

Vendor page: https://worksection.com/en/faq/api-task.html
"""

from ._protocol.filter_fields import F, Fields
from ._protocol.filter_language import DateField, Filter, NumberField, TextField

__all__ = ["DateField", "F", "Fields", "Filter", "NumberField", "TextField"]
