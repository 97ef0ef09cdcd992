"""A certificate of one's own: a browser's camera and a key want https, also in a local network."""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from visavis.errors import ServeError
from visavis.files import make_private, output_errors, write_whole
from visavis.folders import config_folder

SELF = "self"
DAYS = 397  # the longest that browsers take
RENEWED = 30  # days before its end
NAMES = ("localhost", "127.0.0.1", "::1")


def own_certificate(host: str, *, now: datetime | None = None) -> Path:
    """A PEM file with a key and a certificate that it signed itself, for this machine and `host`;
    the one of earlier as long as it holds for that.
    """
    moment = now or datetime.now(UTC)
    folder = config_folder() / "tls"
    path = folder / "self.pem"
    names = sorted({*NAMES, socket.gethostname(), *([host] if _is_one(host) else [])})
    if not _holds(path, names, moment):
        with output_errors(folder):
            make_private(folder)
        write_whole(path, *_made(names, moment), private=True)
    return path


def fingerprint(path: Path) -> str:
    """The SHA-256 of a PEM file's certificate, as browsers show it.

    Raises ServeError where there is none.
    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ServeError(
            f"{path}: expected a PEM file with a key and its certificate",
            mend="or let one be made: self",
            option="tls",
        ) from error
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _is_one(host: str) -> bool:
    """Whether it is one machine's address or name, and not all of them."""
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return True


def _holds(path: Path, names: list[str], moment: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    end = certificate.not_valid_after_utc - timedelta(days=RENEWED)
    return list(known) == [_general(name) for name in names] and moment < end


def _made(names: list[str], moment: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "visavis")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(minutes=5))
        .not_valid_after(moment + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(map(_general, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret, certificate.public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
