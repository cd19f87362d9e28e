"""An asyncio client for Worksection, a project-management service. Runs on trio as well."""

# The packages, in the direction of imports; each says in its docstring what belongs in it:
#
# models, errors   what a call returns and raises
# _protocol        requests and replies as values, without I/O; a coroutine per action (generated from _spec)
# _transport       HTTP, Redis, ASGI, background tasks; when a call is retried
# _limits          the rate limiter
# _auth            credentials and tokens
# _transfer        files: downloads and uploads
# _sync            whole accounts: streams and watches
# _session         Session; `SessionCaller` in caller.py is the way of a call: `call`, `_prepare`, `_send`
# blocking         BlockingSession: the methods of Session without await, over a background loop
# webhooks, login, lookups, filters, keyring, redis   what users import beside the session
# testing, _cli    the simulator, the command line

from . import errors, models
from ._auth.credentials import AccessToken, ApiKey, legacy_page_hash
from ._auth.oauth2 import OAuth2
from ._auth.oauth_app import OAuthApp
from ._auth.sql_vault import SQLTokenVault
from ._auth.token import Token
from ._auth.token_stores import FileTokenStore, MemoryTokenStore, TokenStore
from ._auth.token_vaults import FileTokenVault, TokenVault
from ._limits.file_bucket import FileTokenBucket
from ._limits.limiter import Limiter
from ._limits.queue import Lane, Waiting
from ._limits.statistics import Statistics
from ._limits.token_bucket import TokenBucket
from ._protocol.attachments import Attachment
from ._protocol.raw_reply import RawReply
from ._session.open_telemetry import OpenTelemetry
from ._session.session import Session
from ._sync.cursor import Cursor
from ._sync.cursor_stores import CursorStore, FileCursor, Lease
from ._sync.doorbell import Doorbell
from ._sync.streams import Plan
from ._sync.tag_watch import TagChange
from ._transfer.destination import DownloadedFile
from ._transfer.downloads import DownloadReport, OpenDownload
from ._transport.call_events import CallEvent
from ._transport.version import __version__

__all__ = [
    "AccessToken",
    "ApiKey",
    "Attachment",
    "CallEvent",
    "Cursor",
    "CursorStore",
    "Doorbell",
    "DownloadReport",
    "DownloadedFile",
    "FileCursor",
    "FileTokenBucket",
    "FileTokenStore",
    "FileTokenVault",
    "Lane",
    "Lease",
    "Limiter",
    "MemoryTokenStore",
    "OAuth2",
    "OAuthApp",
    "OpenDownload",
    "OpenTelemetry",
    "Plan",
    "RawReply",
    "SQLTokenVault",
    "Session",
    "Statistics",
    "TagChange",
    "Token",
    "TokenBucket",
    "TokenStore",
    "TokenVault",
    "Waiting",
    "__version__",
    "errors",
    "legacy_page_hash",
    "models",
]
