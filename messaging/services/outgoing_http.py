"""Posting to addresses that customers enter: only to the public internet, once, for a bounded time.

The name is resolved here and the connection goes to the very address that was looked at, so a name that changes its
address in between leads nowhere. Redirects are not followed; proxies of the environment are not used.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

CONNECT_SECONDS = 3.0
TRIED = 3  # addresses of one name
TOTAL_SECONDS = 10.0  # from the first packet to the answer's headers, however slowly they trickle
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotDelivered(Exception):
    """The post did not arrive, or was not taken; ``str(error)`` is a sentence for the account's people."""


@dataclass(frozen=True)
class Target:
    """An address that may be posted to: the host's name for its certificate, and where it is (a few to try)."""

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post once; returns the 2xx status. Raises NotDelivered."""
    target = resolve(url)
    connection = _Pinned(target)
    # Closes the socket under a server that answers a byte at a time; each read has only a limit of its own.
    watchdog = threading.Timer(TOTAL_SECONDS, connection.abort)
    watchdog.daemon = True
    began = time.monotonic()
    watchdog.start()
    try:
        connection.request("POST", target.path, body, dict(headers))
        status = connection.getresponse().status
        if connection.aborted:  # cut off among its headers, the answer looks like a whole one
            raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(_reason(target, error, time.monotonic() - began)) from error
    finally:
        watchdog.cancel()
        connection.close()
    if 300 <= status < 400:
        raise NotDelivered(f"{target.host} answered {status}: redirects are not followed; enter the final address.")
    if not 200 <= status < 300:
        raise NotDelivered(f"{target.host} answered {status}.")
    return status


def resolve(url: str) -> Target:
    """Where ``url`` leads. Raises NotDelivered for what is no http(s) address or leads into a private network."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotDelivered("The URL is not a valid one.") from error
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise NotDelivered("The URL must begin with http:// or https:// and name a server, without a password.")
    port = port or (443 if parts.scheme == "https" else 80)
    addresses = look_up(host, port)
    if not settings.LOCAL_WEBHOOKS and not all(is_public(ipaddress.ip_address(address)) for address in addresses):
        raise NotDelivered(f"{host} is not on the public internet, so nothing is posted to it.")
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return Target(parts.scheme, host, port, f"{path}?{query}" if query else path, tuple(addresses[:TRIED]))


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, each once. Raises NotDelivered."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotDelivered(f"The name {host} cannot be found.") from error
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the public internet, also when it stands inside one of another kind."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


class _Pinned(http.client.HTTPConnection):
    """A connection to the resolved address; over TLS the certificate must be the host name's."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port, timeout=TOTAL_SECONDS)
        self._target = target
        self.aborted = False

    def connect(self) -> None:
        """Connect to one of the pinned addresses (called by http.client)."""
        self.sock = self._connect_to_any()
        self.sock.settimeout(TOTAL_SECONDS)
        if self._target.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._target.host)
        if self.aborted:
            raise TimeoutError

    def _connect_to_any(self) -> socket.socket:
        *others, last = self._target.addresses
        for address in others:
            with contextlib.suppress(OSError):
                return socket.create_connection((address, self._target.port), timeout=CONNECT_SECONDS)
        return socket.create_connection((last, self._target.port), timeout=CONNECT_SECONDS)

    def abort(self) -> None:
        """Have whoever reads from it fail now."""
        self.aborted = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _reason(target: Target, error: Exception, seconds: float) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate of {target.host} is not valid: {error.verify_message}."
    if isinstance(error, TimeoutError) or seconds >= TOTAL_SECONDS:
        return f"{target.host} did not answer within {TOTAL_SECONDS:.0f} seconds."
    if isinstance(error, ConnectionRefusedError):
        return f"{target.host} refused the connection on port {target.port}."
    return f"{target.host} could not be reached or broke off: {type(error).__name__}."
