"""Where webhooks may lead, and that the address which was checked is the one that is connected to."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from impasto.producer.webhooks.addresses import Allowed, is_refused, resolved
from impasto.producer.webhooks.urls import checked_url, shown_url
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, Transient

NOTHING = Allowed()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # metadata of most clouds
        "168.63.129.16",  # Azure's
        "100.100.100.200",  # Alibaba's, in the carriers' range
        "100.64.0.1",
        "192.0.0.192",  # Oracle's
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo of 10.0.0.1
    ],
)
def test_what_is_no_place_on_the_public_internet_is_refused(address: str) -> None:
    assert is_refused(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_the_public_internet_is_not(address: str) -> None:
    assert not is_refused(ip_address(address))


def test_one_refused_address_among_good_ones_refuses_the_host() -> None:
    with pytest.raises(BadSettings, match=r"'hooks.example' leads to 10.0.0.7.*IMPASTO_WEBHOOK_ALLOW"):
        resolved("hooks.example", 443, NOTHING, lambda host, port: ["1.1.1.1", "10.0.0.7"])
    assert resolved("hooks.example", 443, NOTHING, lambda host, port: ["1.1.1.1"]) == ["1.1.1.1"]


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433"])
def test_other_ways_to_write_this_machine_lead_nowhere_else(host: str) -> None:
    with pytest.raises(BadSettings):
        resolved(host, 443, NOTHING)


@pytest.mark.parametrize("allow", ["10.0.0.0/8", "10.0.0.7", "hooks.internal", "Hooks.Internal."])
def test_what_is_allowed_by_name_or_network_is_fine(allow: str) -> None:
    allowed = Allowed.of([allow])
    assert resolved("hooks.internal", 443, allowed, lambda host, port: ["10.0.0.7"]) == ["10.0.0.7"]
    with pytest.raises(BadSettings):
        resolved("other.internal", 443, allowed, lambda host, port: ["192.168.0.7"])


def test_a_name_that_does_not_exist_is_named_and_one_that_cant_be_asked_may_pass() -> None:
    def answers(number: int) -> None:
        def resolve(host: str, port: int) -> list[str]:
            raise socket.gaierror(number, "…")

        resolved("hooks.example", 443, NOTHING, resolve)

    with pytest.raises(BadSettings, match=r"'hooks.example' does not exist"):
        answers(socket.EAI_NONAME)
    with pytest.raises(Transient, match=r"can't be looked up now"):
        answers(socket.EAI_AGAIN)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://hooks.example/", "write https://host/path"),
        ("hooks.example/path", "write https://host/path"),
        ("https://", "write https://host/path"),
        ("https://hooks.example:port/", "no URL"),
        ("http://hooks.example/", "unencrypted"),
        ("https://hooks.example/" + "a" * 3000, "2048 characters"),
    ],
)
def test_a_url_that_may_not_be_used_is_refused_with_the_mend(url: str, words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        checked_url(url, NOTHING)


def test_http_is_for_hosts_that_are_named() -> None:
    assert checked_url("http://hooks.internal/a", Allowed.of(["hooks.internal"])) == "http://hooks.internal/a"
    assert checked_url("http://10.1.1.1/a", Allowed.of(["10.0.0.0/8"])) == "http://10.1.1.1/a"
    assert checked_url("http://[::1]/a", Allowed.of(["::1"])) == "http://[::1]/a"
    with pytest.raises(BadSettings):
        checked_url("http://hooks.internal/a", Allowed.of(["10.0.0.0/8"]))


def test_no_secret_of_a_url_is_shown() -> None:
    shown = shown_url("https://me:hunter2@hooks.example:8443/a/b?token=hunter3&x=hunter4#hunter5")
    assert "hunter" not in shown
    assert "me" not in shown
    assert shown == "https://********@hooks.example:8443/a/b?token=********&x=********"
    with pytest.raises(BadSettings) as refused:
        checked_url("http://me:hunter2@hooks.example/?a=hunter3", NOTHING)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize("value", ["http://hooks.internal", "10.0.0.0/99", "*.internal", "hooks.internal:80"])
def test_a_setting_that_allows_nothing_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_WEBHOOK_ALLOW", f"fine.internal,{value}")
    with pytest.raises(BadSettings, match="IMPASTO_WEBHOOK_ALLOW"):
        Deployment.load(_env_file=None)
