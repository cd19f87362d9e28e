"""The environment's proxy and certificates: a session works, or its error names the variable and what to set."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.constants import KEY
from tests.support.secrecy import texts_of_error
from tests.support.tcp import REPLY, TcpServer
from worksection_async import ApiKey, OAuthApp, Session, TokenBucket
from worksection_async._transport.environment import proxy_for
from worksection_async.errors import InvalidCall, TransportError, WorksectionError

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

PASSWORD = "hunter2-s3cret"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
VARIABLES = (*PROXIES, *(name.lower() for name in PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR")
ORIGIN = "https://acme.worksection.com"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def session(account: str = "acme", **options: Any) -> Session:
    return Session(account, ApiKey(KEY), limiter=TokenBucket(1e6), **{"retries": 0, **options})


async def refusal() -> InvalidCall:
    """Return the error of entering a session."""
    with pytest.raises(InvalidCall) as caught:
        async with session():
            pass
    return caught.value


# Proxies


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "https_proxy", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks4://{}proxy:1080", "ftp://{}proxy:8080", "http://{}proxy:99999", "http://{}proxy:port", "http://{}proxy:0",
        "http://{}[::1", "http://", "http://{}:8080", "https:///path", "http://{}\udcff:8080", "://{}proxy",
    ],
)  # fmt: skip
async def test_unusable_proxy_is_named_without_its_password(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value.format(f"user:{PASSWORD}@"))
    error = await refusal()
    assert str(error).startswith(f"Session: {name}: must be a URL such as http://proxy.example.com:8080")
    assert error.sent is False
    assert not any(PASSWORD in text for text in texts_of_error(error))


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_socks_proxy_needs_a_package(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:{PASSWORD}@proxy:1080")
    error = await refusal()
    assert str(error).startswith("Session: ALL_PROXY: a SOCKS proxy needs a package: pip install httpx[socks]")
    assert not any(PASSWORD in text for text in texts_of_error(error))


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "nonsense://x", "http://proxy:99999"])
async def test_proxy_for_plain_http_does_not_matter(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    async with session():
        pass


@pytest.mark.parametrize(
    "value",
    [
        "[::1]",
        "fd00::/8",
        "[fd00::]/8",
        "10.0.0.0/8",
        "::1",
        "10.0.0.1:443",
        "[::1]:443",
        "*",
        ",, ,",
        "a b",
        "http://",
    ],
)
async def test_every_no_proxy_of_other_programs_is_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:8080")
    monkeypatch.setenv("NO_PROXY", f"localhost,{value}")
    async with session():
        pass


@pytest.mark.parametrize(
    ("no_proxy", "origin", "is_direct"),
    [
        ("", ORIGIN, False),
        ("*", ORIGIN, True),
        ("example.com, *", ORIGIN, True),
        ("worksection.com", ORIGIN, True),
        (".worksection.com", ORIGIN, True),
        ("*.worksection.com", ORIGIN, True),
        ("ACME.Worksection.com", ORIGIN, True),
        ("https://acme.worksection.com", ORIGIN, True),
        ("section.com", ORIGIN, False),
        ("acme.worksection.com:443", ORIGIN, True),
        ("acme.worksection.com:8443", ORIGIN, False),
        ("acme.worksection.com:8443", f"{ORIGIN}:8443", True),
        ("other.worksection.com", ORIGIN, False),
        (".", ORIGIN, False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("fd00::/8", "https://[fd12::1]", True),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("[fd12::1]:8443", "https://[fd12::1]:8443", True),
        ("[fd12::1]:8443", "https://[fd12::1]", False),
        ("::1", "https://[fd12::1]", False),
    ],
)
def test_no_proxy_is_read_as_by_curl(
    no_proxy: str, origin: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:8080")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(origin) is None) is is_direct


def test_https_proxy_is_preferred_to_all_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("https_proxy", "http://https:1")
    proxy = proxy_for(ORIGIN)
    assert proxy is not None
    assert (proxy.name, proxy.value) == ("https_proxy", "http://https:1")


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_proxy_that_refuses_is_named_and_is_not_asked_again_for_a_status_4xx(
    serve: Callable[..., TcpServer], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 %d Sorry\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.0)
    proxy = serve(refuse)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//user:{PASSWORD}@"))
    async with session(retries=2) as ws:
        with pytest.raises(TransportError, match=f"{status} Sorry .through the proxy of HTTPS_PROXY.") as caught:
            await ws.post_task(26, "a")
    assert (caught.value.sent, len(proxy.received)) == (False, 3 if status == 502 else 1)
    assert not any(PASSWORD in text for text in texts_of_error(caught.value))


@pytest.mark.parametrize(
    ("text", "attempts"),
    [
        ("Invalid username/password", 1),
        ("Requested NO AUTHENTICATION REQUIRED from proxy server, but got USERNAME/PASSWORD.", 1),
        ("Proxy Server could not connect: Host unreachable.", 3),
    ],
)
async def test_socks_proxy_that_refuses_the_password_is_not_asked_again(
    text: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ProxyError(text, request=request)

    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.0)
    async with session(transport=httpx.MockTransport(refuse), retries=2) as ws:
        with pytest.raises(TransportError, match=text) as caught:
            await ws.get_tasks(26)
    assert (caught.value.sent, len(asked)) == (False, attempts)


async def test_unreachable_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
    async with session() as ws:
        with pytest.raises(TransportError, match="through the proxy of https_proxy") as caught:
            await ws.get_tasks(26)
    assert caught.value.sent is False


# Certificates


@pytest.fixture
def certificate_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("not a certificate")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return tmp_path


@pytest.mark.parametrize("name", ["missing.pem", "empty.pem", "text.pem", "broken.pem", ""])
async def test_unusable_certificate_file_is_named(
    name: str, certificate_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_folder / name))
    error = await refusal()
    assert f"SSL_CERT_FILE: '{certificate_folder / name}' cannot be used" in str(error)
    assert "set it to an existing PEM file" in str(error)
    assert "docs/proxies.md" in str(error)


@pytest.mark.parametrize("folders", ["missing", "text.pem", "missing:text.pem"])
async def test_missing_certificate_folder_is_named(
    folders: str, certificate_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = os.pathsep.join(str(certificate_folder / name) for name in folders.split(":"))
    monkeypatch.setenv("SSL_CERT_DIR", paths)
    assert f"SSL_CERT_DIR: '{paths}' cannot be used (there is no such folder)" in str(await refusal())
    monkeypatch.setenv("SSL_CERT_DIR", f"{paths}{os.pathsep}{certificate_folder}")
    async with session():
        pass


async def test_login_names_its_own_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/missing.pem")
    with pytest.raises(InvalidCall, match=r"^oauth2_token: SSL_CERT_FILE"):
        await OAuthApp("id", "secret", "https://example.com/back").exchange("code")


async def test_a_transport_and_plain_http_do_not_read_the_environment(
    serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(REPLY)

    for name in VARIABLES:
        monkeypatch.setenv(name, "nonsense://")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=REPLY.partition(b"\r\n\r\n")[2]))
    for account, options in (("acme", {"transport": transport}), (serve(answer).url, {})):
        async with session(account, **options) as ws:
            assert len(await ws.get_tasks(26)) == 1


class Authority:
    """A certificate authority that issues certificates for 127.0.0.1."""

    _usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme Proxy CA")])
        self._folder = folder
        self.path = folder / "ca.pem"
        ca = self._build(self._name, self._key.public_key(), days=1)
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        ca = ca.add_extension(self._usage, critical=True)
        self.path.write_bytes(ca.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        """Return a certificate with the key identifiers that Python 3.13 and later require."""
        now = dt.datetime.now(dt.UTC)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=3)).not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer_id, critical=False)
        )  # fmt: skip

    def context(self, address: str = "127.0.0.1", days: int = 1) -> ssl.SSLContext:
        """Return the TLS context of a server with a certificate for *address*, valid for *days*."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._build(x509.Name([]), key.public_key(), days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = builder.add_extension(names, critical=True).sign(self._key, hashes.SHA256())
        path = self._folder / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve_tls(serve: Callable[..., TcpServer], authority: Authority) -> Callable[..., tuple[str, list[str]]]:
    """Return a function that serves with a certificate; it returns the URL and a list of the connections."""

    def start(**arguments: Any) -> tuple[str, list[str]]:
        context, attempts = authority.context(**arguments), list[str]()

        def answer(server: TcpServer, connection: socket.socket) -> None:
            attempts.append("connected")
            with context.wrap_socket(connection, server_side=True) as secured:
                server.read_request(secured)
                secured.sendall(REPLY)

        return serve(answer).url.replace("http:", "https:"), attempts

    return start


async def test_certificate_of_the_companys_authority_is_accepted(
    authority: Authority, serve_tls: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    async with session(serve_tls()[0]) as ws:
        assert len(await ws.get_tasks(26)) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "unable to get local issuer certificate"),
        ({"days": -1}, "certificate has expired"),
        ({"address": "127.0.0.9"}, "IP address mismatch"),
    ],
)
async def test_failed_certificate_check_is_not_retried_and_says_what_to_set(
    arguments: dict[str, Any],
    reason: str,
    authority: Authority,
    serve_tls: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if arguments:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    url, attempts = serve_tls(**arguments)
    async with session(url, retries=3) as ws:
        with pytest.raises(TransportError, match=reason) as caught:
            await ws.get_tasks(26)
    error = caught.value
    assert "set SSL_CERT_FILE to a PEM file" in str(error)
    assert "docs/proxies.md" in str(error)
    assert str(error).endswith("The request was not sent.")
    assert (error.sent, error.is_permanent) == (False, True)
    assert attempts == ["connected"]
    assert (f"now SSL_CERT_FILE is {authority.path}" in str(error)) is bool(arguments)


# Any environment


HOSTS = st.sampled_from(["", "127.0.0.1:1", "[::1]:1", "[::1", f"user:{PASSWORD}@127.0.0.1:1", "127.0.0.1:x", "a b:1"])
PROXY_VALUES = st.builds(
    "{}{}".format, st.sampled_from(["", "http://", "https://", "socks5://", "socks4://", "://", "HTTP:"]), HOSTS
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
NO_PROXY_VALUES = st.lists(
    st.sampled_from(
        ["*", "[::1]", "fd00::/8", "10.0.0.0/8", ".local", "acme", ":", "[", "x:y:z", "http://[", "/", "::"]
    )
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
).map(",".join)
PATHS = st.sampled_from(["", "/", "/missing", __file__, "\n", "~", ":"])
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        name: PATHS if name.startswith("SSL") else NO_PROXY_VALUES if name.lower() == "no_proxy" else PROXY_VALUES
        for name in VARIABLES
    },
)


@given(ENVIRONMENTS)
@settings(max_examples=60)
def test_any_environment_gives_a_working_session_or_an_error_that_names_the_variable(env: dict[str, str]) -> None:
    async def call() -> None:
        async with session("https://127.0.0.1:1", timeout=2.0) as ws:
            await ws.get_tasks(26)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        for name, value in env.items():
            patch.setenv(name, value)
        with pytest.raises(WorksectionError) as caught:
            anyio.run(call)
    error = caught.value
    assert isinstance(error, InvalidCall | TransportError)
    assert error.sent is False
    assert PASSWORD not in str(error)
    is_direct = "ConnectError: All connection attempts failed (to " in str(error)
    assert is_direct or any(name in str(error) for name in env)
