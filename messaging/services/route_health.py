"""How routes do: what is so now, and a sample of every minute for a graph."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.functional import cached_property

from messaging.models import ConnectorStatus, Message, Route, RouteMinute
from messaging.services.plans import pin_plans
from messaging.services.route_states import SILENT_AFTER

KEPT_DAYS = 7
GRAPH_HOURS = 6
_WATCHED = ("Throttled", "Paused", "Draining", "Paused and draining", "Switched off", "No connector")
STATE_TONES = dict.fromkeys(_WATCHED, "warning") | {"Up": "success", "Down": "danger"}
SAMPLED_RECEIPTS = 200  # of a route, of its last minute

# Receipts of the last minute, with the moment at which their messages were taken by the carrier.
_DELAYS = """
    SELECT r.route_id, percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM uuid_extract_timestamp(r.id) - m.sent_at))
    FROM (SELECT id, route_id, message_id FROM messaging_receipt
          WHERE id >= messaging_uuid_floor(now() - interval '1 minute') AND message_id IS NOT NULL
          ORDER BY id DESC LIMIT %s) AS r
    JOIN messaging_message m ON m.id = r.message_id
    WHERE m.sent_at IS NOT NULL GROUP BY r.route_id
"""
_QUEUED = "SELECT count(*) FROM messaging_message WHERE route_id = %s AND state = 'queued'"
_SAVE = """
    INSERT INTO messaging_routeminute AS m (route_id, minute, queued, receipt_seconds)
    SELECT r.route_id, date_trunc('minute', now()), r.queued, r.delay
    FROM unnest(%s::bigint[], %s::int[], %s::float8[]) AS r(route_id, queued, delay)
    ON CONFLICT (route_id, minute) DO UPDATE SET queued = EXCLUDED.queued,
        receipt_seconds = coalesce(EXCLUDED.receipt_seconds, m.receipt_seconds)
"""


@transaction.atomic
def sample_routes() -> int:
    """Write every route's queue and receipt delay into the present minute, forget old samples; returns how many."""
    routes = list(Route.objects.order_by("pk").values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_DELAYS, [SAMPLED_RECEIPTS * max(1, len(routes))])
        delays = {route_id: max(0.0, float(delay)) for route_id, delay in cursor.fetchall()}
        queued = {route_id: count_queued(route_id) for route_id in routes}
        values: list[Any] = [routes, [queued[key] for key in routes], [delays.get(key) for key in routes]]
        cursor.execute(_SAVE, values)
    RouteMinute.objects.filter(minute__lt=timezone.now() - timedelta(days=KEPT_DAYS)).delete()
    return len(routes)


def count_queued(route_id: int) -> int:
    """How many messages wait on the route, by its index alone."""
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_QUEUED, [route_id])
        return int(cursor.fetchone()[0])


@dataclass
class RouteState:
    """What connector processes say of a route that was loaded with ``statuses`` and its connectors."""

    route: Route
    silent_before: datetime = field(default_factory=lambda: timezone.now() - SILENT_AFTER, kw_only=True)

    @cached_property
    def binds(self) -> list[ConnectorStatus]:
        """Of those that the connector asked for once and does not any more, nobody tells again."""
        told = (one for one in self.route.statuses.all() if one.bind < self.wanted or not self.is_silent(one))
        return sorted(told, key=lambda one: one.bind)

    @property
    def in_hand(self) -> int:
        """Claimed messages that have no answer yet."""
        return sum(one.in_hand for one in self.binds if not self.is_silent(one))

    @property
    def bound(self) -> int:
        return sum(one.state == ConnectorStatus.State.BOUND and not self.is_silent(one) for one in self.binds)

    @property
    def wanted(self) -> int:
        """How many binds its connector asks for."""
        smpp, http = getattr(self.route, "smpp_connector", None), getattr(self.route, "http_connector", None)
        return (smpp.binds if smpp and smpp.is_enabled else 0) + (1 if http and http.is_enabled else 0)

    @property
    def word(self) -> str:
        """How the route is."""
        told = [
            word for word, is_so in (("paused", self.route.is_paused), ("draining", self.route.is_draining)) if is_so
        ]
        if told:
            return " and ".join(told).capitalize()
        if not self.wanted:
            has_one = hasattr(self.route, "smpp_connector") or hasattr(self.route, "http_connector")
            return "Switched off" if has_one else "No connector"
        if not self.bound:
            return "Down"
        return "Throttled" if any(one.slowed_since and not self.is_silent(one) for one in self.binds) else "Up"

    @property
    def state(self) -> tuple[str, str]:
        """In a word, and its tone."""
        return self.word, STATE_TONES[self.word]

    @property
    def waits(self) -> bool:
        """Whether what it is given now stays where it is."""
        return self.route.is_paused or not self.bound

    def is_silent(self, status: ConnectorStatus) -> bool:
        """Whether nobody has told this bind's state for a while."""
        return status.seen_at < self.silent_before


@dataclass
class Health(RouteState):
    """One route now. ``rate`` is answers a second and ``error_share`` a percentage, both of the last two minutes."""

    queued: int
    window: int
    rate: float
    error_share: float | None
    receipt_seconds: float | None


def health_of(routes: Sequence[Route]) -> list[Health]:
    """The health of routes that were loaded with ``statuses`` and their connectors."""
    since = (timezone.now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
    seconds = max(1.0, (timezone.now() - since).total_seconds())
    sums: dict[int, Any] = {
        row["route"]: row
        for row in RouteMinute.objects.filter(minute__gte=since).order_by().values("route").annotate(
            sent=Sum("sent"), refused=Sum("refused"), later=Sum("later"), lost=Sum("lost")
        )
    }  # fmt: skip
    recent = RouteMinute.objects.filter(minute__gte=since - timedelta(minutes=10), receipt_seconds__isnull=False)
    delays = dict(recent.order_by("minute").values_list("route", "receipt_seconds"))
    found = []
    for route in routes:
        row: dict[str, Any] = sums.get(route.pk, {})
        good, bad = row.get("sent", 0), row.get("refused", 0) + row.get("later", 0) + row.get("lost", 0)
        connector = getattr(route, "smpp_connector", None) or getattr(route, "http_connector", None)
        found.append(Health(
            route, count_queued(route.pk),
            (connector.window * getattr(connector, "binds", 1)) if connector else 0,
            (good + bad) / seconds, 100 * bad / (good + bad) if good + bad else None, delays.get(route.pk),
        ))  # fmt: skip
    return found


def series_of(route: Route) -> dict[str, list[float | None]]:
    """The route's last hours for the graph: a value for each minute, None where nothing was measured."""
    now = timezone.now().replace(second=0, microsecond=0)
    minutes = [now - timedelta(minutes=back) for back in range(GRAPH_HOURS * 60 - 1, -1, -1)]
    rows = {one.minute: one for one in RouteMinute.objects.filter(route=route, minute__gte=minutes[0])}
    points = [rows.get(minute) for minute in minutes]
    return {
        "at": [minute.timestamp() for minute in minutes],
        "sent": [one.sent if one else 0 for one in points],
        "errors": [one.refused + one.later + one.lost if one else 0 for one in points],
        "queued": [one.queued if one else None for one in points],
        "delay": [one.receipt_seconds if one else None for one in points],
    }


def open_messages(route: Route) -> int:
    """Messages of the route whose answer was never heard."""
    return Message.objects.filter(route=route, state=Message.State.UNKNOWN).count()
