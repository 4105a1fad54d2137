"""What staff do to a route: pause, resume, drain. Each deed stands in the audit trail of the platform."""

from functools import partial

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from accounts.services.accounts import get_platform
from messaging.models import Route
from messaging.wakeups import DISPATCH, FAILOVER, wake

# deed -> what it makes of the route; connectors look before every claim, so it acts at once
DEEDS = {
    "pause": {"is_paused": True},
    "resume": {"is_paused": False},
    "drain": {"is_draining": True},
    "undrain": {"is_draining": False},
}
_PAST = {"pause": "paused", "resume": "resumed", "drain": "drained", "undrain": "undrained"}


@transaction.atomic
def control_route(route: Route, deed: str, *, actor: User) -> bool:
    """Do one of DEEDS; False when the route is so already. Raises KeyError for another word."""
    change = DEEDS[deed]
    if not Route.objects.filter(pk=route.pk).exclude(**change).update(**change):
        return False
    audit.record(account=get_platform(), actor=actor, action=f"route.{_PAST[deed]}", subject=route.code)
    transaction.on_commit(partial(wake, DISPATCH, route.pk))
    transaction.on_commit(partial(wake, FAILOVER))
    return True
