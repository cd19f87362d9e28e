"""Events as the service sends them: a parser, and a receiver to mount in a web app.

Vendor page: https://worksection.com/en/faq/webhooks.html
"""

from .parsing import UnreadableEvent, parse_events
from .receiver import Handler, WebhookReceiver, WebhookStatistics

__all__ = ["Handler", "UnreadableEvent", "WebhookReceiver", "WebhookStatistics", "parse_events"]
