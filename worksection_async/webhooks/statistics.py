"""The counts of a webhook receiver."""

import attrs


@attrs.frozen(kw_only=True)
class WebhookStatistics:
    """Counts of events since the receiver was created.

    ``received`` is the sum of ``handled``, ``failed``, ``duplicates``, ``waiting`` and ``abandoned``.
    """

    received: int
    """Events in deliveries that were answered with OK."""
    handled: int
    """Events for which the handler returned."""
    failed: int
    """Events for which the handler raised an error."""
    duplicates: int
    """Repeated events, which were dropped."""
    waiting: int
    """Events that are queued or being handled."""
    abandoned: int
    """Events that were not handled within *drain* seconds when the context was left."""
    unreadable: int
    """Bodies and parts of bodies that could not be parsed; they were answered with OK and logged."""
    refused: int
    """Deliveries answered with 503 because the queue was full or the context not open, with 415, or with 500."""
