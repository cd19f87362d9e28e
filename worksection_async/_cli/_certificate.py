"""A self-signed certificate for the callback of a login, because Worksection redirects to HTTPS URLs only."""

import datetime as dt
import ipaddress
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=1)
"""Validity before and after the login; it allows for clock skew between this machine and that of the browser."""


def create_ssl_context(host: str) -> ssl.SSLContext:
    """Return a server context with a new certificate for *host* (a name or an IP address).

    OpenSSL reads keys only from files: the key is in a private temporary file for that moment.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="worksection-login-") as folder:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem", delete=False) as file:  # mode 0600
            file.write(create_pem(host))
        context.load_cert_chain(file.name)
    return context


def create_pem(host: str) -> bytes:
    """Return a new private key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    unencrypted = serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, unencrypted)
    return private + _certificate(host, key).public_bytes(encoding)


def _certificate(host: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worksection-async login")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LIFETIME)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
