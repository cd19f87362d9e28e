"""The spec of the service, and the generator of the code that depends on it. Not imported at run time.

The ``*.toml`` files are the only source of facts about the service. ``python -m worksection_async._spec`` generates
endpoints, models, the table of actions and the reference page; ``--check`` lists the files that are out of date.
"""

from ._load import load
from ._schema import GROUPS, ActionSpec, EnumSpec, ErrorSpec, FieldSpec, Group, ModelSpec, ParamSpec, Service, Spec

__all__ = [
    "GROUPS",
    "ActionSpec",
    "EnumSpec",
    "ErrorSpec",
    "FieldSpec",
    "Group",
    "ModelSpec",
    "ParamSpec",
    "Service",
    "Spec",
    "load",
]
