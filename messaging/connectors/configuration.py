"""What the tables say about connectors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.conf import settings

from accounts.encryption import CannotDecrypt, decrypt
from messaging.connectors.database import Database
from messaging.services.http_sending import HttpLine
from smpp.client import ClientConfig

log = structlog.get_logger(__name__)

_LOAD = """
    SELECT c.route_id, r.code, c.host, c.port, c.system_id, c.password, c.system_type, c.binds, c."window",
           c.enquire_link_seconds
    FROM messaging_smppconnector c JOIN messaging_route r ON r.id = c.route_id WHERE c.is_enabled ORDER BY c.id
"""
_LOAD_HTTP = """
    SELECT c.route_id, r.code, c.url, c.headers, c.password, c.receipt_secret, c.method, c.body, c.parameters::text,
           c.username, c.uses_basic_auth, c."window", c.timeout_seconds, c.success_path, c.success_values, c.id_path,
           c.error_path, c.retry_codes, c.retry_statuses
    FROM messaging_httpconnector c JOIN messaging_route r ON r.id = c.route_id WHERE c.is_enabled ORDER BY c.id
"""


@dataclass(frozen=True)
class BindConfig:
    """One session to a carrier; ``number`` counts a route's binds from 0."""

    number: int
    route_id: int
    route_code: str
    line: ClientConfig | HttpLine

    @property
    def key(self) -> tuple[int, int]:
        return self.route_id, self.number

    @property
    def name(self) -> str:
        return f"{self.route_code}/{self.number}"


async def load_binds(database: Database) -> list[BindConfig]:
    """Every bind that enabled connectors want; raises DatabaseAway.

    A connector whose credentials cannot be decrypted, or that could never work, is left out and said so; the others go
    on.
    """
    binds = []
    for row in await database.fetch(_LOAD):
        route_id, code, host, port, system_id, password, system_type, count, window, enquire = row
        with _telling(code):
            smpp = ClientConfig(
                host=host, port=port, system_id=system_id, password=decrypt(password), system_type=system_type,
                window=max(1, window), enquire_link_seconds=max(1, enquire),
            )  # fmt: skip
            binds += [BindConfig(number, route_id, code, smpp) for number in range(count)]
    for route_id, code, url, headers, password, secret, *others in await database.fetch(_LOAD_HTTP):
        with _telling(code):
            line = HttpLine(url, decrypt(headers), decrypt(password), receipt_url(code, decrypt(secret)), *others)
            binds.append(BindConfig(0, route_id, code, line))
    return binds


@contextmanager
def _telling(code: str) -> Iterator[None]:
    try:
        yield
    except (CannotDecrypt, ValueError) as error:
        log.error("connector.unusable", route=code, detail=str(error))


def receipt_url(code: str, secret: str) -> str:
    """Where the carrier of a route brings its receipts; empty where it brings none."""
    return f"{settings.SITE_URL}/carrier/{code}/receipts/{secret}" if secret else ""
