"""The demo's carrier: the simulator (`manage.py run_simulator`), which takes every number."""

from django.conf import settings

from messaging.models import Route, SmppConnector
from messaging.services.routing import set_rule

CODE = "simulator"


def load_carrier() -> Route:
    """Make the route, its rule and its connector."""
    route = Route.objects.create(code=CODE, name="Simulated carrier", throughput=500)
    set_rule(prefix="", routes=[route])
    SmppConnector.objects.create(
        route=route, host=settings.SIMULATOR_HOST, port=settings.SIMULATOR_PORT, system_id="relay", password="simulator"
    )
    return route


def point_at_simulator() -> None:
    """Tell the connector where the simulator listens now: its port may change from run to run."""
    SmppConnector.objects.filter(route__code=CODE).update(host=settings.SIMULATOR_HOST, port=settings.SIMULATOR_PORT)
