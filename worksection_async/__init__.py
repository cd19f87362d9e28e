"""An asyncio client for Worksection, a project-management service. Runs on trio as well."""

# General layout, in the order a call passes through it:
#
# _session.py      Session: holds the parts together; `_perform` is the whole journey
# _endpoints/      a coroutine per action (generated)       models/  what they return (generated)
# _actions.py      the table of actions (generated)         _spec/   the TOML all that is made from
# _call.py         parameters checked and written           _wire.py both directions of every format
# _place.py        waiting for a turn, and to leave         _limiter.py, _pace.py  the queue, and when calls may go
# _bucket.py       the budget of a process                  _file_bucket.py, redis.py  of a machine, of several
# _encoding.py     parameters as a query, as JSON           _request.py  one request as a value
# _auth.py         signing
# _files.py        files to send                            _download.py  files that come
# _oauth_auth.py   signing for a user who logged in         _oauth.py, _token.py, _stores.py  what that takes
# _http.py         sending: the only module that imports httpx
# _envelope.py     opening the reply                        _reply.py, _structure.py  to models
# _retry.py        whether to try again: a pure decision    errors.py  everything that is raised
# _streams.py      records beyond one answer                _watch.py    events and tags as they change
# filters.py       conditions of a search                   trees.py, statuses.py, users.py  what replies leave open
# login.py         how users log in                         webhooks.py  events as the service tells them
# testing/         the simulator of the service             __main__.py  demo, simulate, call, login

from . import errors, models
from ._auth.credentials import AccessToken, ApiKey, legacy_page_hash
from ._auth.oauth2 import OAuth2
from ._auth.oauth_app import OAuthApp
from ._auth.token import Token
from ._auth.token_stores import FileTokenStore, MemoryTokenStore, TokenStore
from ._limits.file_bucket import FileTokenBucket
from ._limits.limiter import Limiter
from ._limits.queue import Lane, Waiting
from ._limits.statistics import Statistics
from ._limits.token_bucket import TokenBucket
from ._protocol.attachments import Attachment
from ._session.session import Session
from ._sync.streams import Plan
from ._sync.watch import Cursor, TagChange
from ._transfer.destination import DownloadedFile
from ._transfer.downloads import DownloadReport, OpenDownload

__all__ = [
    "AccessToken",
    "ApiKey",
    "Attachment",
    "Cursor",
    "DownloadReport",
    "DownloadedFile",
    "FileTokenBucket",
    "FileTokenStore",
    "Lane",
    "Limiter",
    "MemoryTokenStore",
    "OAuth2",
    "OAuthApp",
    "OpenDownload",
    "Plan",
    "Session",
    "Statistics",
    "TagChange",
    "Token",
    "TokenBucket",
    "TokenStore",
    "Waiting",
    "errors",
    "legacy_page_hash",
    "models",
]

__version__ = "0.1.0"
