"""What the generated classes have in common."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from ..._protocol.call import Action

T = TypeVar("T")


class BlockingCaller(Protocol):
    """Calls actions and waits for their replies; all that endpoints need."""

    def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        """Call *action* and return its reply as a model."""
        ...


class EndpointGroup:
    """Base class of the generated endpoint classes."""

    _caller: BlockingCaller
