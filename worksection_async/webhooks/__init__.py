"""Webhooks: a parser for the events that the service sends, a receiver for a web app, and a router.

Vendor page: https://worksection.com/en/faq/webhooks.html
"""

from .deduplication import EventMemory
from .parsing import UnreadableEvent, parse_events
from .receiver import WebhookReceiver
from .registration import Registration
from .router import Handler, Router, RouterStatistics
from .statistics import WebhookStatistics

__all__ = [
    "EventMemory",
    "Handler",
    "Registration",
    "Router",
    "RouterStatistics",
    "UnreadableEvent",
    "WebhookReceiver",
    "WebhookStatistics",
    "parse_events",
]
