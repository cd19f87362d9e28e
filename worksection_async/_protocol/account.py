"""Where an account lives."""

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import InvalidCall
from .service import ACCOUNT_URL

PORTS = {"http": 80, "https": 443}
"""The port of each scheme, which no origin needs to name: there is one budget per origin."""


def origin_of(account: str) -> str:
    """The origin requests of *account* go to: ``"acme"`` → ``"https://acme.worksection.com"``.

    *account* is a name, or a URL without a path; plain HTTP is for loopback only. Raises `InvalidCall`.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", account):
        return ACCOUNT_URL.format(account=account.lower())
    try:
        url = urlsplit(account)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise _refused("it is no valid URL") from None
    if url.scheme not in PORTS or not re.fullmatch(r"[\w.:-]+", host):
        raise _refused('a name such as "acme" or a URL such as "https://acme.worksection.com" is expected')
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise _refused("a URL without path, query and user is expected")
    if url.scheme == "http" and not is_loopback(host):
        raise _refused("https is required: a key must not travel in the clear")
    origin = f"{url.scheme}://[{host}]" if ":" in host else f"{url.scheme}://{host}"
    return origin if port in (None, PORTS[url.scheme]) else f"{origin}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(why: str) -> InvalidCall:
    return InvalidCall("Session", f"account: {why}")
