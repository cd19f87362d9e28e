"""What is known about the service, and the code that is written from it.

``*.toml`` here is the only place where a fact about the service is typed. ``python -m worksection_async._spec``
writes the endpoints, the models, the table of actions and the reference page; ``--check`` says which of them are stale.
"""

from ._load import GROUPS, ActionSpec, EnumSpec, ErrorSpec, FieldSpec, Group, ModelSpec, ParamSpec, Service, Spec, load

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
