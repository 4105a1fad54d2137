"""What the tables say about connectors."""

from dataclasses import dataclass

from messaging.connectors.database import Database
from smpp.client import ClientConfig

_LOAD = """
    SELECT c.route_id, r.code, c.host, c.port, c.system_id, c.password, c.system_type, c.binds, c."window",
           c.enquire_link_seconds, r.throughput
    FROM messaging_smppconnector c JOIN messaging_route r ON r.id = c.route_id WHERE c.is_enabled ORDER BY c.id
"""


@dataclass(frozen=True)
class BindConfig:
    """One session to a carrier: ``number`` counts a route's binds from 0, ``rate`` is its share in submits/s."""

    number: int
    route_id: int
    route_code: str
    smpp: ClientConfig
    rate: int

    @property
    def key(self) -> tuple[int, int]:
        return self.route_id, self.number

    @property
    def name(self) -> str:
        return f"{self.route_code}/{self.number}"


async def load_binds(database: Database) -> list[BindConfig]:
    """Every bind that enabled connectors want; raises DatabaseAway."""
    binds = []
    for row in await database.fetch(_LOAD):
        route_id, code, host, port, system_id, password, system_type, count, window, enquire, total = row
        smpp = ClientConfig(
            host=host, port=port, system_id=system_id, password=password, system_type=system_type,
            window=max(1, window), enquire_link_seconds=max(1, enquire),
        )  # fmt: skip
        binds += [BindConfig(number, route_id, code, smpp, share(total, count, number)) for number in range(count)]
    return binds


def share(throughput: int, binds: int, number: int) -> int:
    """A bind's whole share of the route's throughput; the first binds take what does not divide evenly.

    Shares are fixed, also while another bind is down: binds of one route may live in different processes, and only so
    is the sum never above the limit.
    """
    return throughput // binds + (1 if number < throughput % binds else 0)
