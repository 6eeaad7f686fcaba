"""The wall before our own network: which URLs may be called, and which addresses may be connected to.

A URL that somebody gives us must not reach what only we can reach. So it is checked twice: as text when it is given, by
`check_url`, and by the addresses of its host each time it is called, by `resolve`. The caller then connects to exactly
these addresses and never asks the resolver again.
"""

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NoReturn

from app.core.errors import InvalidInput

URL_LENGTH_MAX: Final = 2_000
HOST_LENGTH_MAX: Final = 253
ADDRESSES_MAX: Final = 4
"""More addresses of one host are not tried: the time of one call would not last for them."""
LOOK_UP_S: Final = 5.0
"""How long the resolver is waited for; it may go on for half a minute where a name server does not answer."""
LOOK_UPS_MAX: Final = 64
"""Look-ups at once, those nobody waits for any more among them."""

PORTS: Final = {"https": 443, "http": 80}
LOCALHOST: Final = "localhost"

_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What RFC 3986 allows in a path and a query; everything else has to be percent-encoded.
_TARGET = re.compile(
    r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_DOTS = re.compile(r"/\.\.?(?:/|$)")

# The registries of special addresses, written out: `is_global` says other things in other releases of Python.
_CLOSED_4: Final = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # looks public, and is the host beneath every machine of one cloud
    )
)
_OPEN_6: Final = IPv6Network("2000::/3")
# Protocol assignments with Teredo among them, documentation twice, and 6to4, which nobody relays any more.
_CLOSED_6: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64: Final = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address

# Threads of its own: whoever has a slow name server must not keep everybody's portfolios from being measured.
_RESOLVER: Final = ThreadPoolExecutor(LOOK_UPS_MAX, thread_name_prefix="resolver")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart. `literal` is the address its host is written as, None for a name."""

    scheme: str
    host: str
    port: int
    target: str
    literal: Address | None

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def on_loopback(self) -> bool:
        return self.host == LOCALHOST or (self.literal is not None and self.literal.is_loopback)


def check_url(url: str, *, loopback: bool) -> str:
    """Return a URL that may be called, in its normal form, or raise InvalidInput that says what to do.

    The text alone is looked at. With `loopback`, localhost and loopback addresses are allowed, also over http.
    """
    return check_place(url, loopback=loopback).url


def check_place(url: str, *, loopback: bool) -> Place:
    """Do as `check_url` does, and return the URL taken apart."""
    place = _take_apart(url)
    if place.on_loopback and not loopback:
        _refuse(f"{place.host} is the machine itself; give an address that everybody can reach")
    if place.scheme == "http" and not place.on_loopback:
        _refuse("it must begin with https://, so that nobody on the way can read or change what is sent")
    if place.literal is not None and not place.on_loopback:
        _require_public(place.host, place.literal)
    return place


async def resolve(url: str, *, loopback: bool) -> tuple[str, ...]:
    """Return the addresses to connect to for a URL, or raise InvalidInput that names the host and what is wrong.

    Each address of the host must be public; with `loopback`, those of localhost are loopback addresses. The resolver
    is asked once.
    """
    return await addresses_of(check_place(url, loopback=loopback))


async def addresses_of(place: Place) -> tuple[str, ...]:
    """Do as `resolve` does, for a place that was checked."""
    found = [place.literal] if place.literal is not None else await _look_up(place.host, place.port)
    for address in found:
        if not (place.on_loopback and address.is_loopback):
            _require_public(place.host, address)
    return tuple(dict.fromkeys(map(str, found)))[:ADDRESSES_MAX]


async def _look_up(host: str, port: int) -> list[Address]:
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(LOOK_UP_S):
            found = await asyncio.get_running_loop().run_in_executor(_RESOLVER, ask)
    except TimeoutError:
        _refuse(f"{host} cannot be found (no answer within {LOOK_UP_S:g} s); check the name")
    except (OSError, UnicodeError) as error:
        _refuse(f"{host} cannot be found ({getattr(error, 'strerror', None) or error}); check the name")
    if not found:
        _refuse(f"{host} has no address; check the name")
    return [_plain(str(entry[4][0])) for entry in found]


def _plain(text: str) -> Address:
    """Return a resolved address; an IPv4 one that comes as IPv6 as what is connected to in the end."""
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    return address.ipv4_mapped or address


def is_public(address: Address) -> bool:
    """Tell whether anybody on the internet could connect to an address.

    An IPv4 address within an IPv6 one, mapped or behind NAT64, counts as itself.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    if address.scope_id is not None:
        return False
    inner = IPv4Address(address.packed[-4:]) if address in _NAT64 else address.ipv4_mapped
    if inner is not None:
        return is_public(inner)
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def _take_apart(url: str) -> Place:
    """Take a URL apart; only text that every parser reads in the same way gets through."""
    _check_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS:
        _refuse("it must begin with https://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    if "@" in authority:
        _refuse("it has a user name or password; leave them away, deliveries are signed instead")
    if not _TARGET.fullmatch(target):
        _refuse("its path or query has characters that must be percent-encoded")
    if _DOTS.search(target.partition("?")[0]):
        _refuse("its path has a step . or ..; write it without")
    found = _AUTHORITY.fullmatch(authority.lower())
    port = PORTS[scheme] if found is None or found[2] is None else int(found[2])
    if found is None or not 0 < port < 65_536:
        _refuse("its host and port cannot be read; write https://host/path, or https://host:port/path with 1 to 65535")
    literal = _literal(found[1])
    if literal is None:
        _check_name(found[1])
    host = found[1] if literal is None else str(literal) if literal.version == 4 else f"[{literal}]"
    return Place(scheme, host, port, target if target.startswith("/") else f"/{target}", literal)


def _check_characters(url: str) -> None:
    if not 0 < len(url) <= URL_LENGTH_MAX:
        _refuse(f"it has {len(url)} characters; it must have 1 to {URL_LENGTH_MAX}")
    for number, character in enumerate(url, 1):
        if not "!" <= character <= "~":
            _refuse(
                f"character {number} is {character!a}; only printable ASCII without spaces is allowed: "
                "percent-encode the path, and write the name in punycode (xn--...)"
            )
    if "#" in url:
        _refuse("it has a fragment (#...), which is never sent; leave it away")


def _literal(host: str) -> Address | None:
    """Return the address a host is written as, None for a name.

    What ends in a number is an address to some resolver: 127.1, 0x7f.1, 2130706433. Only the usual form is taken.
    """
    last = host.removesuffix(".").rpartition(".")[2]
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            if address.scope_id is None and address.ipv4_mapped is None:
                return address
            raise AddressValueError  # names a network card, or writes an IPv4 address in another way
        if last.isdigit() or re.fullmatch("0x[0-9a-f]*", last):
            return IPv4Address(host)
    except AddressValueError:
        _refuse(f"its host {host[:80]} is no address in the usual form, like 93.184.216.34 or [2606:2800:21f::1]")
    return None


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > HOST_LENGTH_MAX or not all(map(_LABEL.fullmatch, labels)):
        _refuse(
            f"its host {host[:80]} is no host name: labels have 1 to 63 letters, digits and inner hyphens, "
            f"and all of it at most {HOST_LENGTH_MAX} characters"
        )
    if len(labels) == 1 and host != LOCALHOST:
        _refuse(f"{host} is a name within some network; give the whole name, like {host}.example.com")


def _require_public(host: str, address: Address) -> None:
    if not is_public(address):
        what = host if host.strip("[]") == str(address) else f"{host} has the address {address}, which"
        _refuse(f"{what} is not public; give one that everybody can reach")


def _refuse(why: str) -> NoReturn:
    raise InvalidInput(f"this URL cannot be called: {why}", ["url"])
