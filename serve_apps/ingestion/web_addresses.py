"""Where a URL may lead: the rules that keep Raydio from being sent into private networks.

A name is resolved once; every address that it has is judged, and only those are connected to, so a name
server cannot answer one thing to the judge and another to the connection. Redirects are judged the same way.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from serve_apps.errors import AddressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) to its IP addresses, as the system would try them."""

MAX_URL_CHARACTERS = 2000
_PORTS = {"http": 80, "https": 443}
_METADATA = [
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "fe80::/10",
        "fd00:ec2::254/128",  # the same on AWS, inside what is private otherwise
        "100.100.100.200/32",  # Alibaba, inside CGNAT
        "168.63.129.16/32",  # Azure, a public address that leads to the host
        "192.0.0.0/24",  # Oracle, and protocol assignments
    )
]
_PRIVATE = [
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
]
_NEVER = [
    ip_network(network)
    for network in ("0.0.0.0/8", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "::/8", "2001::/23")
]
"""Not public, whatever `ipaddress` of this Python says; with Teredo and addresses that hold IPv4 ones."""
_NAT64 = ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ip_network("2002::/16")


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that may be fetched, and the only addresses that its host may be reached at."""

    url: httpx.URL
    addresses: tuple[str, ...]

    @property
    def host(self) -> str:
        """For people and for TLS: the name in ASCII, or the address."""
        return self.url.raw_host.decode("ascii")


async def resolve(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class AddressRules:
    """Judges URLs.

    Args:
        private_addresses: allow private networks and other ports than 80 and 443, too.
        resolver: what to ask for a name's addresses.
    """

    def __init__(self, *, private_addresses: bool = False, resolver: Resolver = resolve) -> None:
        self._private = private_addresses
        self._resolver = resolver

    async def admit(self, url: str) -> Destination:
        """The URL with addresses that may be connected to.

        Raises:
            AddressRefused: it may not be fetched, or its name leads nowhere.
        """
        parsed = self._parsed(url)
        host = parsed.raw_host.decode("ascii")
        addresses = [host] if _is_address(host) else await self._resolved(host, _port(parsed))
        for address in addresses:
            self._judge(host, address)
        return Destination(parsed, tuple(addresses))

    def _parsed(self, url: str) -> httpx.URL:
        if len(url) > MAX_URL_CHARACTERS:
            raise AddressRefused("This URL is too long.", f"The limit is {MAX_URL_CHARACTERS} characters.")
        if "\\" in url or any(character.isspace() for character in url.strip()):
            raise _malformed(url)
        try:
            parsed = httpx.URL(url.strip())
        except httpx.InvalidURL as error:
            raise _malformed(url) from error
        if parsed.scheme not in _PORTS or not parsed.host:
            raise AddressRefused("Only web addresses are fetched.", "They begin with https:// or http://.")
        if parsed.userinfo:
            raise AddressRefused("This URL has a password in it.", "Use one that works without.")
        self._judge_spelling(parsed)
        return parsed

    def _judge_spelling(self, url: httpx.URL) -> None:
        if _port(url) not in _PORTS.values() and not self._private:
            raise AddressRefused(f"Port {url.port} is not fetched from.", "Only 80 and 443 are.")
        host = url.raw_host.decode("ascii")
        if "%" in host or (_looks_numeric(host) and not _is_address(host)):
            raise AddressRefused(f"{host} is no proper address.", "Use the site's name.")

    async def _resolved(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise AddressRefused(f"There is no site called {host}.", "Check the address.") from error
        if not addresses:
            raise AddressRefused(f"{host} has no address.", "Check the name.")
        return addresses

    def _judge(self, host: str, address: str) -> None:
        try:
            refused = is_refused(ip_address(address), private_addresses=self._private)
        except ValueError:  # a scope id, `fe80::1%eth0`
            refused = True
        if refused:
            raise AddressRefused(
                f"{host} is not on the public internet.",
                "Raydio fetches only public pages; the setting `private_addresses` of ingest allows others.",
            )


def is_refused(address: Address, *, private_addresses: bool = False) -> bool:
    """Whether nothing may be fetched from `address`."""
    if _within(address, _METADATA):
        return True
    if _within(address, _PRIVATE):
        return not private_addresses
    if address.version == 6 and address in _NAT64:  # noqa: PLR2004
        return is_refused(IPv4Address(int(address) & 0xFFFF_FFFF))
    if _within(address, _NEVER) or (address.version == 6 and address in _SIX_TO_FOUR):  # noqa: PLR2004
        return True
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return not address.is_global or address.is_multicast or address.is_reserved or is_site_local


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _looks_numeric(host: str) -> bool:
    """Whether a resolver might take it for an IPv4 address, `0x7f.1`, `2130706433`.

    Source: https://url.spec.whatwg.org/#ends-in-a-number-checker
    """
    last = host.removesuffix(".").rpartition(".")[2].lower()
    return last.isdigit() or (last.startswith("0x") and all(c in "0123456789abcdef" for c in last[2:]))


def _port(url: httpx.URL) -> int:
    return url.port or _PORTS[url.scheme]


def _malformed(url: str) -> AddressRefused:
    return AddressRefused(f"This is no proper URL: {url.strip()[:80]!r}.", "Copy it from the browser.")
