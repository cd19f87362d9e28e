"""What the generated classes have in common."""

from .._transport.caller import Caller


class EndpointGroup:
    """Base class of the generated endpoint classes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
