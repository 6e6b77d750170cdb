"""One POST, on real sockets: where it goes, whom it trusts, and how long it may take."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from impasto.producer.webhooks import post
from impasto.producer.webhooks.addresses import Allowed
from impasto.producer.webhooks.post import Poster
from webhook_receiver import Answer, Receiver

NAME = "hooks.example"


def answering(*addresses: str) -> Callable[[str, int], list[str]]:
    """A resolver that gives another address each time it is asked."""
    left = iter(addresses)
    return lambda host, port: [next(left)]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of `hooks.example`, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure_receiver(certificate: Path) -> Iterator[Receiver]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Receiver(tls) as receiver:
        yield receiver


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SSL_CERT_FILE names that certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    post._trusted.cache_clear()
    yield
    post._trusted.cache_clear()


def test_a_name_that_leads_elsewhere_the_second_time_is_refused_and_nobody_connected_to(
    receiver: Receiver,
) -> None:
    allowed = Allowed.of(["127.0.0.0/9"])
    poster = Poster(allowed, answering("127.0.0.1", "127.128.0.1"))
    url = f"http://{NAME}:{receiver.port}/"
    assert poster.post(url, "{}", {}).taken
    refused = poster.post(url, "{}", {})
    assert refused.status is None
    assert "'hooks.example' leads to 127.128.0.1" in refused.error
    assert len(receiver.posts) == 1


def test_a_post_looks_its_host_up_once_and_goes_to_just_that_address(receiver: Receiver) -> None:
    poster = Poster(Allowed.of(["127.0.0.1"]), answering("127.0.0.1"))
    assert poster.post(f"http://{NAME}:{receiver.port}/", "{}", {}).taken
    assert receiver.posts[0].headers["host"] == f"{NAME}:{receiver.port}"


def test_a_proxy_of_the_environment_is_not_asked(
    receiver: Receiver, other_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other_receiver.url)
    monkeypatch.setenv("ALL_PROXY", other_receiver.url)
    assert Poster(Allowed.of(["127.0.0.1"])).post(receiver.url, "{}", {}).taken
    assert other_receiver.posts == []


@pytest.mark.usefixtures("trusting")
def test_a_certificate_is_checked_against_the_name_and_not_the_address(secure_receiver: Receiver) -> None:
    poster = Poster(Allowed.of(["127.0.0.1"]), lambda host, port: ["127.0.0.1"])
    assert poster.post(f"https://{NAME}:{secure_receiver.port}/", "{}", {}).taken
    other = poster.post(f"https://other.example:{secure_receiver.port}/", "{}", {})
    assert other.status is None
    assert "certificate is not trusted" in other.error
    assert len(secure_receiver.posts) == 1


def test_a_certificate_of_nobody_known_is_not_trusted(secure_receiver: Receiver) -> None:
    poster = Poster(Allowed.of(["127.0.0.1"]), lambda host, port: ["127.0.0.1"])
    answer = poster.post(f"https://{NAME}:{secure_receiver.port}/", "{}", {})
    assert "certificate is not trusted" in answer.error
    assert secure_receiver.posts == []


def test_no_log_says_what_is_secret_in_a_url(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    poster = Poster(Allowed.of(["127.0.0.1"]))
    with caplog.at_level("DEBUG"):
        assert poster.post(f"http://me:hunter2@127.0.0.1:{receiver.port}/?token=hunter3", "{}", {}).taken
    assert receiver.posts[0].headers["authorization"] == "Basic bWU6aHVudGVyMg=="
    assert "hunter" not in caplog.text


def test_an_answer_that_drips_for_ever_ends_at_the_deadline(receiver: Receiver) -> None:
    receiver.answers.append(Answer(drip=True))
    answer = Poster(Allowed.of(["127.0.0.1"])).post(receiver.url, "{}", {}, deadline_seconds=0.5)
    assert answer.status is None
    assert answer.error.startswith("no answer within")


def test_of_a_huge_answer_only_the_beginning_is_kept(receiver: Receiver) -> None:
    receiver.answers.append(Answer(200, body=b"x" * 3_000_000))
    answer = Poster(Allowed.of(["127.0.0.1"])).post(receiver.url, "{}", {})
    assert answer.taken
    assert answer.excerpt == "x" * 200


def test_who_does_not_answer_is_told_in_words(receiver: Receiver) -> None:
    poster = Poster(Allowed.of(["127.0.0.1"]))
    receiver.answers.append(Answer(reset=True))
    broken = poster.post(receiver.url, "{}", {})
    # Which of the two depends on whether the reset overtakes what was read before it.
    assert broken.error in ("Connection reset by peer", "Server disconnected without sending a response.")
    assert broken.status is None
    assert poster.post("http://127.0.0.1:1/", "{}", {}).error == "Connection refused"
    named = Poster(Allowed()).post(receiver.url, "{}", {})
    assert "IMPASTO_WEBHOOK_ALLOW" in named.error
    assert len(receiver.posts) == 1
