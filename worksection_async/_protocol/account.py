"""The origin of an account: scheme, host and port."""

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import InvalidCall
from .service import ACCOUNT_URL
from .values import type_of

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Ports that are omitted from an origin, so that one account has one origin and therefore one rate limit budget."""


def origin_of(account: str) -> str:
    """Return the origin for the requests of *account*: ``"acme"`` → ``"https://acme.worksection.com"``.

    *account* is a name, a host, or a URL without a path; plain HTTP is allowed for loopback only. Raises `InvalidCall`.
    """
    if not isinstance(account, str):
        raise _invalid(f"must be text, got {type_of(account)}")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", account):
        return ACCOUNT_URL.format(account=account.lower())
    if re.match(r"[\w-]+\.[\w.-]+", account):
        account = f"https://{account}"
    try:
        url = urlsplit(account)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise _invalid("must be a valid URL") from None
    if url.scheme not in DEFAULT_PORTS or not re.fullmatch(r"[\w.:-]+", host):
        raise _invalid('must be a name such as "acme" or a URL such as "https://acme.worksection.com"')
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise _invalid("must be a URL without path, query and user")
    if url.scheme == "http" and not is_loopback(host):
        raise _invalid("https is required, because the key must not be sent unencrypted")
    origin = f"{url.scheme}://[{host}]" if ":" in host else f"{url.scheme}://{host}"
    return origin if port in (None, DEFAULT_PORTS[url.scheme]) else f"{origin}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _invalid(problem: str) -> InvalidCall:
    return InvalidCall("Session", f"account: {problem}")
