"""Where a webhook may lead: never to this machine, its network or a cloud's metadata, unless allowed by name.

The address is looked up once, checked, and connected to as it was checked: a name that answers with another
address the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, Self

from impasto.shared.errors import BadSettings, Transient

Address = IPv4Address | IPv6Address

_REFUSED_THOUGH_GLOBAL: Final = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host: metadata and DNS of every virtual machine
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata among them
        "192.88.99.0/24",  # relays from IPv6 to IPv4
        "240.0.0.0/4",
        "2001::/32",  # Teredo and 6to4: tunnels to IPv4 addresses
        "2002::/16",
        "64:ff9b:1::/48",
        "fec0::/10",
    )
)
_IPV4_WITHIN_IPV6: Final = IPv6Network("64:ff9b::/96")


class Resolve(Protocol):
    """Looks a name up, as `socket.getaddrinfo` does."""

    def __call__(self, host: str, port: int) -> list[str]: ...


def system_resolve(host: str, port: int) -> list[str]:
    """The name's addresses by this machine's resolver, in its order. Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


def is_refused(address: Address) -> bool:
    """Whether the address is anything but a place on the public internet."""
    if isinstance(address, IPv6Address):
        within = _ipv4_within(address)
        if within is not None:
            return is_refused(within)
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or any(address in network for network in _REFUSED_THOUGH_GLOBAL if network.version == address.version)
    )


def _ipv4_within(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, or translated on the way."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _IPV4_WITHIN_IPV6:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True)
class Allowed:
    """What `IMPASTO_WEBHOOK_ALLOW` names: hosts, trusted wherever they lead, and networks of addresses."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """An entry that is no address and no network is a host."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                hosts.add(entry.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str) -> bool:
        """Whether the host itself is named, and needs no TLS then. An address is named by its network."""
        try:
            return self.has(ip_address(host.strip("[]")))
        except ValueError:
            return host.lower().rstrip(".") in self.hosts

    def has(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def resolved(host: str, port: int, allowed: Allowed, resolve: Resolve = system_resolve) -> list[str]:
    """The host's addresses, each of which may be connected to.

    Raises BadSettings for a name that does not exist or leads to a refused address, Transient when the
    resolver does not answer.
    """
    try:
        found = resolve(host, port)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Transient(f"the name {host!r} can't be looked up now: {error.strerror}") from error
        raise BadSettings(f"the name {host!r} does not exist: correct the webhook's URL") from error
    except UnicodeError as error:
        raise BadSettings(f"{host!r} is no name of a host: correct the webhook's URL") from error
    if not found:
        raise Transient(f"the name {host!r} has no address now")
    if allowed.names(host):
        return found
    for text in found:
        address = ip_address(text)
        if is_refused(address) and not allowed.has(address):
            raise BadSettings(
                f"{host!r} leads to {text}, which is no address of the public internet: "
                "name the host or its network in IMPASTO_WEBHOOK_ALLOW if webhooks may go there"
            )
    return found
