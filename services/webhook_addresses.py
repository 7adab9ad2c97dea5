"""Where webhooks may go, and the secrets they are signed with: never into our own house unless an administrator said so."""

import asyncio
import base64
import ipaddress
import re
import secrets
import socket
from urllib.parse import urlsplit

PORTS = {"https": 443, "http": 80}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
MAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Forbidden(ValueError):
    """An address webhooks may not go to."""


def new_secret() -> str:
    """A secret as the specification writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def is_mail_address(text: str) -> bool:
    """Whether it is one mail address, and nothing a header could be made to say besides."""
    return text.isprintable() and MAIL.fullmatch(text) is not None


def check_address(url: str, allowed: frozenset[str]) -> tuple[str, int]:
    """Host and port of a webhook's address. Raises `Forbidden` for what is no web address, or plain http to a stranger."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise Forbidden("the address has no valid port") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Forbidden("the address must begin with https:// and name a host")
    if parts.username or parts.password:
        raise Forbidden("the address must hold no user name or password")
    host = parts.hostname.lower()
    if parts.scheme == "http" and host not in allowed:
        raise Forbidden(f"plain http only to hosts an administrator allowed: parcours subscription allow-host {host}")
    return host, port or PORTS[parts.scheme]


def is_public(text: str) -> bool:
    """Whether an address is anybody's on the internet; one that stands for an IPv4 address (mapped, or by NAT64) is judged as that."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local:
            return False
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.is_global and not address.is_multicast


async def resolved(host: str, port: int, allowed: frozenset[str]) -> str:
    """An address of the host; every one it has must be public, unless an administrator allowed the host. Raises `Forbidden`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if host not in allowed:
        for text in addresses:
            if not is_public(text):
                raise Forbidden(
                    f"{host} is not a public address; an administrator can allow it: parcours subscription allow-host {host}"
                )
    return addresses[0]
