"""Webhooks: a parser for the events that the service sends, and a receiver that can be mounted in a web app.

Vendor page: https://worksection.com/en/faq/webhooks.html
"""

from .parsing import UnreadableEvent, parse_events
from .receiver import Handler, WebhookReceiver
from .statistics import WebhookStatistics

__all__ = ["Handler", "UnreadableEvent", "WebhookReceiver", "WebhookStatistics", "parse_events"]
