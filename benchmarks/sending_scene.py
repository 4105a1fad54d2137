"""Who sends in the benchmark of the send engine: eight clients of a reseller, three levels with margins, one route."""

from dataclasses import dataclass

from accounts.services.accounts import get_platform
from messaging.models import Route, SmppConnector
from tests.cast import Member, fund, make_client, make_rates, make_reseller, make_route

TENANTS = 8
WINDOW = 1000  # unanswered submits of the bind


@dataclass
class Scene:
    """The accounts that send, and the route to the sink."""

    reseller: Member
    tenants: list[Member]
    route: Route


def make_scene(port: int, throughput: int) -> Scene:
    """Commit rates, the route to a sink on ``port`` and the accounts with money."""
    get_platform()
    make_rates()
    route = make_route(throughput)
    SmppConnector.objects.create(
        route=route, host="127.0.0.1", port=port, system_id="bench", password="bench", window=WINDOW,  # noqa: S106
        enquire_link_seconds=60,
    )  # fmt: skip
    reseller = make_reseller()
    tenants = [make_client(reseller, f"Client {number}") for number in range(TENANTS)]
    for member in (reseller, *tenants):
        fund(member, "10000000")
    return Scene(reseller, tenants, route)
