"""The demo's carriers: the simulator (`manage.py run_simulator`), which takes every number, and a second way to it.

The second route is switched off: two sessions of one account would share what the simulator brings. Switch its
connector on, pause the simulator or set its route to drain, and watch messages take it.
"""

from decimal import Decimal

from django.conf import settings
from django.db.models import F

from messaging.models import Message, Route, RouteCost, SmppConnector
from messaging.services.routing import set_rule

CODE, RESERVE = "simulator", "reserve"
# What the carriers take for a part, by currency; the second one is dearer.
COSTS = {"AUD": Decimal("0.031"), "EUR": Decimal("0.019"), "GBP": Decimal("0.016"), "USD": Decimal("0.0205")}


def load_carrier() -> Route:
    """Make the routes with their costs and connectors, and the rule that chooses between them."""
    route = Route.objects.create(code=CODE, name="Simulated carrier", throughput=500)
    reserve = Route.objects.create(code=RESERVE, name="Reserve carrier", throughput=100)
    set_rule(prefix="", routes=[route, reserve])
    for one, factor in ((route, Decimal(1)), (reserve, Decimal("1.25"))):
        RouteCost.objects.bulk_create(
            RouteCost(route=one, currency=currency, amount=cost * factor) for currency, cost in COSTS.items()
        )
        SmppConnector.objects.create(
            route=one, host=settings.SIMULATOR_HOST, port=settings.SIMULATOR_PORT, system_id="relay",
            password="simulator", is_enabled=one == route,
        )  # fmt: skip
    return route


def write_costs(route: Route) -> None:
    """Let the history's messages have cost what the route takes in their currency."""
    for currency, cost in COSTS.items():
        sold = Message.objects.filter(route=route, cost=None, account__currency=currency)
        sold.update(cost=F("parts") * cost)


def point_at_simulator() -> None:
    """Tell the connectors where the simulator listens now: its port may change from run to run."""
    SmppConnector.objects.filter(route__code__in=[CODE, RESERVE]).update(
        host=settings.SIMULATOR_HOST, port=settings.SIMULATOR_PORT
    )
