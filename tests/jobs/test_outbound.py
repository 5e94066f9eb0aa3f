"""What is known of a request to which there was no answer."""

import ipaddress
import socket
import ssl
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from jobs import outbound


@pytest.fixture
def certificate(tmp_path):
    """A file with a key and a certificate of this machine."""
    key, now = ec.generate_private_key(ec.SECP256R1()), timezone.now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a receiver")])
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    as_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path / "receiver.pem"
    path.write_bytes(as_text + built.public_bytes(pem))
    return path


def _reads_and_stammers(raw, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    talk = context.wrap_socket(raw, server_side=True)
    talk.recv(10_000)
    with socket.socket(fileno=talk.detach()) as bare:
        bare.sendall(b"HTTP/1.1 200 OK\r\n\r\nwithout encryption")


def _knows_no_tls(raw, certificate):
    with raw:
        raw.recv(10_000)
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("receives", "trusted", "left"),
    [
        (_reads_and_stammers, True, True),
        (_reads_and_stammers, False, False),
        (_knows_no_tls, True, False),
    ],
)
def test_what_breaks_after_the_handshake_may_have_left(
    certificate, monkeypatch, settings, receives, trusted, left
):
    settings.WEBHOOKS_WITHIN = True
    session = outbound._session

    def trusting():
        made = session()
        made.verify = str(certificate) if trusted else True
        return made

    monkeypatch.setattr(outbound, "_session", trusting)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            raw, _address = server.accept()
            try:
                receives(raw, certificate)
            except OSError:
                raw.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(outbound.Unreachable) as raised:
            outbound.post(f"https://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})
        thread.join()
    assert raised.value.left is left
