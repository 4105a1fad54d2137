"""Which routes are up and which are down, as the connector processes last told it."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from accounts.prepared import fetch_prepared
from messaging.models import ConnectorStatus

State = ConnectorStatus.State
SILENT_AFTER = timedelta(seconds=15)  # a bind's process tells its state every second
# Asked each second for every account that programs send for.
_DOWN = """
    SELECT route_id FROM messaging_connectorstatus GROUP BY route_id HAVING max(bound_at) < %(silent)s::timestamptz
"""


def up_routes() -> set[int]:
    """Routes with a bind that is bound now."""
    seen = ConnectorStatus.objects.filter(state=State.BOUND, seen_at__gte=timezone.now() - SILENT_AFTER)
    return set(seen.values_list("route_id", flat=True))


def slowed_routes() -> set[int]:
    """Routes whose every bound bind has been throttled by its carrier for FAILOVER_SECONDS without a pause."""
    now = timezone.now()
    since = now - timedelta(seconds=settings.FAILOVER_SECONDS)
    slow = Q(slowed_since__isnull=False) & Q(slowed_since__lte=since)
    bound = ConnectorStatus.objects.filter(state=State.BOUND, seen_at__gte=now - SILENT_AFTER).order_by()
    counts = bound.values_list("route_id").annotate(all=Count("pk"), slow=Count("pk", filter=slow))
    return {route_id for route_id, count, slowed in counts if count == slowed}


def down_routes() -> set[int]:
    """Routes of which no bind has been bound for FAILOVER_SECONDS, though a connector process tried."""
    silent = timezone.now() - timedelta(seconds=settings.FAILOVER_SECONDS)
    return {route_id for (route_id,) in fetch_prepared(_DOWN, {"silent": silent})}
