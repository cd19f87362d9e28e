"""What the generated classes have in common."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from ..call import Action

T = TypeVar("T")


class ActionCaller(Protocol):
    """Calls actions; all that endpoints need."""

    async def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        """Call *action* and return its reply as a model."""
        ...


class EndpointGroup:
    """Base class of the generated endpoint classes."""

    def __init__(self, caller: ActionCaller) -> None:
        self._caller = caller
