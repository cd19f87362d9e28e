"""What the environment says about the network: the proxy for an origin, and the certificates to trust.

The variables are those of curl, requests and httpx. They are read here and not by httpx, so that only those that
matter for the one origin of a session can fail, and so that an error can name the variable.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import attrs

from ..errors import InvalidCall

MANUAL = "see docs/proxies.md"

HOW_TO_TRUST = "set SSL_CERT_FILE to a PEM file with the certificate of that authority"

ADVICE = {
    9: "is the clock of this machine right?",
    10: "is the clock of this machine right?",
    62: "another server, such as a proxy or a login page of the network, answered in its place",
    64: "another server, such as a proxy or a login page of the network, answered in its place",
}
"""What to do about a failed certificate check, by OpenSSL's verify code: not yet valid, expired, another name."""


@attrs.frozen
class Variable:
    """An environment variable, or a system setting, that determines how requests are sent."""

    name: str
    value: str = attrs.field(repr=False)
    """A proxy's value may contain its password."""


def proxy_for(origin: str) -> Variable | None:
    """Return the setting with the proxy for requests to *origin* (https); None if they are sent directly."""
    found = getproxies()  # on Windows and macOS it reads the system settings if no variable is set
    scheme = next((scheme for scheme in ("https", "all") if found.get(scheme)), None)
    if scheme is None or _is_excluded(origin, found.get("no", "")):
        return None
    name = f"{scheme}_proxy"
    names = [each for each, value in os.environ.items() if each.lower() == name and value == found[scheme]]
    return Variable(names[-1] if names else f"the system's proxy setting ({name.upper()})", found[scheme])


def _is_excluded(origin: str, no_proxy: str) -> bool:
    url = urlsplit(origin)
    host, port = url.hostname or "", url.port or 443
    return any(_excludes(entry.strip().lower().rpartition("://")[2], host, port) for entry in no_proxy.split(","))


def _excludes(entry: str, host: str, port: int) -> bool:
    """Return whether *entry* of NO_PROXY names the host: ``*``, a domain, an address or a network, also with a port."""
    if entry == "*":
        return True
    name, _, digits = entry.rpartition(":")
    if digits.isdecimal() and not name.endswith(":") and (name.endswith("]") or ":" not in name) and name:
        if int(digits[:6]) != port:
            return False
        entry = name
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(_without_brackets(entry), strict=False)
    domain = entry.removeprefix("*").strip(".")
    return bool(domain) and f".{host}".endswith(f".{domain}")


def _without_brackets(address: str) -> str:
    return address.replace("[", "").replace("]", "")


def certificates() -> Variable | None:
    """Return the variable with the authorities to trust; None if those of certifi are used."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    return next((Variable(name, os.environ[name]) for name in names if os.environ.get(name)), None)


def load_certificates(create: Callable[[], ssl.SSLContext], action: str) -> ssl.SSLContext:
    """Return the context that *create* makes of the environment; raises `InvalidCall`, which names the variable."""
    variable = certificates()
    if variable is not None and variable.name == "SSL_CERT_DIR" and not _has_folder(variable.value):
        reason = "there is no such folder"  # OpenSSL would ignore it, and then trust no server
    else:
        try:
            return create()
        except Exception as exc:  # noqa: BLE001  # any failure is a failure of the variable's value
            reason = str(getattr(exc, "reason", None) or getattr(exc, "strerror", None) or type(exc).__name__)
    if variable is None:
        raise InvalidCall(action, f"the certificates of the package certifi cannot be loaded ({reason}): reinstall it")
    expected = "an existing PEM file with certificates" if variable.name == "SSL_CERT_FILE" else "an existing folder"
    problem = f"{variable.name}: {variable.value!a} cannot be used ({reason})"
    raise InvalidCall(action, f"{problem}: set it to {expected}, or unset it; {MANUAL}")


def _has_folder(path_list: str) -> bool:
    return any(folder and Path(folder).is_dir() for folder in path_list.split(os.pathsep))


def failed_check(exc: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return the failed certificate check that *exc* results from, or None."""
    chain = [exc]
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return each
        chain += [other for other in (each.__cause__, each.__context__) if other and other not in chain]
    return None


def problem_of_check(failed: ssl.SSLCertVerificationError) -> str:
    """Return a description of a failed certificate check, with what to set."""
    reason = getattr(failed, "verify_message", "") or "certificate verify failed"
    variable = certificates()
    used = f"; now {variable.name} is {variable.value}" if variable else ""
    advice = ADVICE.get(getattr(failed, "verify_code", 0))
    question = f"{advice} " if advice and advice.endswith("?") else f"{advice}. " if advice else ""
    return (
        f"the server's certificate was not accepted ({reason.removesuffix('.')}): {question}If a proxy of your company "
        f"replaces certificates, {HOW_TO_TRUST}{used}; {MANUAL}"
    )
