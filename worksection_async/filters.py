"""Filter expressions for the parameter ``filter`` of `search_tasks`, `get_costs` and `get_costs_total`.

::

    from worksection_async.filters import F

    late = F.name.has("Report") & (F.dateend < date(2026, 5, 25))
    tasks = await ws.search_tasks(filter=late | F.id.is_in([1234, 1240]))

The attributes of `F` are the fields, named as in the service. Each action supports some of them, with some operators:
type checkers check this by the type of the `Filter`, and the call checks it before it sends anything (`InvalidCall`).

Vendor page: https://worksection.com/en/faq/api-task.html
"""

from ._protocol.filter_fields import F, Fields
from ._protocol.filter_language import DateField, Filter, NumberField, TextField

__all__ = ["DateField", "F", "Fields", "Filter", "NumberField", "TextField"]
