"""How cost grows with the table: the same batch and the same pages on ever more messages."""

import time
from datetime import timedelta
from statistics import median, quantiles
from typing import Any

import psycopg
from django.utils import timezone

from accounts.models import User
from benchmarks.portal import say
from benchmarks.sending_scene import TENANTS
from benchmarks.traffic import Traffic
from messaging.periods import uuid_floor
from tests.cast import Member

PAGES = 10  # requests of each page
CHUNK = 500_000
BATCH = 1_000  # messages of a tenant's batch
DAYS = 60  # over which the messages lie, back from now

# A tenant's batches, each older than its messages; their ids tell which message belongs to which.
_BATCHES = """
    INSERT INTO messaging_batch (id, code, account_id, payer_id, door, state, sender, text, encoding, message_class,
        idempotency_key, message_count, excluded_count, part_count, currency, price, refusal, created_at, accepted_at)
    SELECT {batch}, 'h' || number || '-' || tenant, account, account, 'web', 'accepted', 'Bench', 'History', 'GSM-7', 2,
        '', %(each)s, 0, %(each)s, 'AUD', 0, '', moment, moment
    FROM generate_series(%(first)s / (%(each)s * %(tenants)s), %(last)s / (%(each)s * %(tenants)s)) AS number
    CROSS JOIN unnest(%(accounts)s::bigint[]) WITH ORDINALITY AS t(account, tenant)
    CROSS JOIN LATERAL (SELECT {moment} AS moment) AS m
    ON CONFLICT DO NOTHING
"""
# The tenants in turn, the newest message first.
_HISTORY = """
    INSERT INTO messaging_message (id, batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts,
        price, message_class, priority, state, sent_at, done_at, carrier_id, settled_at)
    SELECT uuidv7(back), {batch}, account, account, %(route)s, (%(quotes)s::bigint[])[tenant],
        '+6142' || lpad((n %% 10000000)::text, 7, '0'), 'Bench', 1, 0.07, 2, 0,
        CASE WHEN n %% 20 = 0 THEN 'undelivered' ELSE 'delivered' END, now() + back, now() + back, 'h' || to_hex(n),
        now() + back
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    CROSS JOIN LATERAL (SELECT 1 + n %% %(tenants)s AS tenant, n / (%(each)s * %(tenants)s) AS number) AS which
    CROSS JOIN LATERAL (SELECT -interval '1 second' * (n * %(step)s) AS back,
        (%(accounts)s::bigint[])[tenant] AS account, {moment} AS moment) AS r
"""
_MOMENT = "%(now)s - interval '1 second' * ((number + 1) * %(each)s * %(tenants)s + 1) * %(step)s"
_BATCH = (
    "overlay(messaging_uuid_floor(moment)::text PLACING lpad(to_hex(number * 100 + tenant), 12, '0') FROM 25)::uuid"
)
_MESSAGES = (
    "",
    "?state=undelivered",
    "?state=rejected",
    "?state=sent",
    "?state=delivered",
    "?recipient=%2B61420000007",
)
_REPORTS = ("/", "/reports/", "/reports/?{year}")
_PARENTS_REPORTS = ("/reports/clients/", "/reports/margins/", "/reports/margins/?{year}")
# What else people open, beside the page of the batch that is being sent.
_OTHERS = ("/", "/batches/", "/billing/")
_PARENTS_OTHERS = ("/clients/", "/clients/?sort=-sent", "/clients/?sort=-margin")
# For the margins, as if what was filled in had been paid for when it was accepted.
_PAID = """
    INSERT INTO messaging_reportchange (quarter, account_id, quote_id, captured, captured_parts)
    SELECT quarter, account_id, quote_id, sent - captured, parts - captured_parts FROM messaging_reportquarter
    WHERE sent > captured
"""


class Growth:
    """Measures on a table that it fills. What it fills in is in no ledger, so it is taken out again."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._rows = 0

    def run(self) -> dict[str, float]:
        """Ratios of cost, and the pages' times on the largest table."""
        small = self._cost()
        figures: dict[str, float] = {}
        for key, rows in zip(("cost_ratio_1m", "cost_ratio_10m"), self._traffic.sizes.history, strict=True):
            self._fill(rows)
            figures[key] = self._cost() / small
        figures |= {"messages_page_p95_ms": self._messages_ms(), "report_p95_ms": self._reports_ms()}
        figures["pages_p95_ms"] = self._others_ms()
        self._empty()
        return figures

    def _cost(self) -> float:
        """Seconds of processors per message, of everything but the sink; median of three batches."""
        costs = []
        for _ in range(3):
            before = self._traffic.usage()
            self._traffic.send([(0, self._traffic.sizes.step)])
            spent = self._traffic.usage().since(before)
            costs.append(sum(value for name, value in spent.items() if name != "sink"))
        return median(costs)

    def _fill(self, rows: int) -> None:
        scene, largest = self._traffic.scene, self._traffic.sizes.history[-1]
        values: dict[str, Any] = {
            "route": scene.route.pk, "accounts": [member.account.pk for member in scene.tenants],
            "quotes": [self._quote(member) for member in scene.tenants], "tenants": TENANTS, "each": BATCH,
            "step": DAYS * 86_400 / largest, "now": timezone.now(),
        }  # fmt: skip
        begun = time.monotonic()
        with psycopg.connect(self._traffic.postgres.url, autocommit=True) as session:
            while self._rows < rows:
                last = min(rows, self._rows + CHUNK)
                for query in (_BATCHES, _HISTORY):
                    text = query.format(moment=_MOMENT, batch=_BATCH)
                    session.execute(text.encode(), values | {"first": self._rows + 1, "last": last})
                self._rows = last
        self._count()
        with psycopg.connect(self._traffic.postgres.url, autocommit=True) as session:
            session.execute("VACUUM ANALYZE messaging_message, messaging_messagekey, messaging_carrierkey")
        say(f"{rows:,} messages in the table after {time.monotonic() - begun:.0f} s")

    def _quote(self, member: Member) -> int:
        """The price of what the tenant has sent, or would."""
        from billing.services.pricing import PriceList

        prices = PriceList(member.account)
        (quote,) = prices.save_quotes([prices.price_of("+61420000000")]).values()
        return quote.pk

    def _count(self) -> None:
        """Count for the reports what went past the send engine."""
        from messaging.services.rollups import DAY, recount

        tomorrow = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        recount(tomorrow - (DAYS + 2) * DAY, tomorrow)
        self._count_changes()

    def _count_changes(self) -> None:
        from messaging.services.rollups import roll_up

        roll_up()

    def _empty(self) -> None:
        with psycopg.connect(self._traffic.postgres.url, autocommit=True) as session:
            session.execute(
                "DELETE FROM messaging_messagekey WHERE message_id IN"
                " (SELECT id FROM messaging_message WHERE carrier_id LIKE 'h%')"
            )
            session.execute("DELETE FROM messaging_carrierkey WHERE carrier_id LIKE 'h%'")
            session.execute("DELETE FROM messaging_message WHERE carrier_id LIKE 'h%'")
            session.execute("DELETE FROM messaging_batch WHERE code LIKE 'h%'")
        self._count()

    def _messages_ms(self) -> float:
        """95th percentile of a tenant's and its reseller's lists: filtered and not, and a page far back."""
        deep = uuid_floor(timezone.now() - timedelta(days=DAYS - 10))
        paths = [f"/messages/{query}" for query in (*_MESSAGES, f"?{_last_days(DAYS)}&before={deep}")]
        scene = self._traffic.scene
        return _p95({f"{member.account} {path}": _times(member.user, path)
                     for member in (scene.tenants[0], scene.reseller) for path in paths})  # fmt: skip

    def _reports_ms(self) -> float:
        """95th percentile of a tenant's and its reseller's dashboards and reports, of 30 days and of a year."""
        scene = self._traffic.scene
        asked = [(scene.tenants[0], path) for path in _REPORTS]
        asked += [(scene.reseller, path) for path in (*_REPORTS, *_PARENTS_REPORTS)]
        year = _last_days(365)
        return _p95({f"{member.account} {path}": _times(member.user, path.format(year=year)) for member, path in asked})

    def _others_ms(self) -> float:
        """95th percentile of other pages while a batch is being sent: its own, lists, a statement and staff's."""
        scene = self._traffic.scene
        staff = User.objects.create_superuser("staff@bench.example", "staff@bench.example", None)
        with self._traffic.drain() as batch:
            asked = [(scene.tenants[0].user, path) for path in (*_OTHERS, *_pages_of(batch.code))]
            asked += [(scene.reseller.user, path) for path in (*_OTHERS, *_PARENTS_OTHERS)]
            asked.append((staff, "/admin/"))
            return _p95({f"{user} {path}": _times(user, path) for user, path in asked})


def _last_days(days: int) -> str:
    """The query of a period that ends now."""
    return f"first={timezone.now() - timedelta(days=days - 1):%Y-%m-%d}&last={timezone.now():%Y-%m-%d}"


def _pages_of(code: str) -> list[str]:
    return [f"/batches/{code}/", f"/batches/{code}/progress/", f"/messages/?batch={code}&state=delivered"]


def _p95(times: dict[str, list[float]]) -> float:
    for name, each in times.items():
        say(f"{name}: {median(each):.0f} ms, at most {max(each):.0f}")
    return quantiles([one for each in times.values() for one in each], n=20)[-1]


def _times(user: User, path: str) -> list[float]:
    """Milliseconds of PAGES requests, as a person would make them one after the other."""
    from django.test import Client

    is_part = path.endswith("/progress/")
    browser = Client(headers={"host": "127.0.0.1"} | ({"hx-request": "true"} if is_part else {}))
    browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    times = []
    for _ in range(PAGES + 1):
        begun = time.monotonic()
        answer = browser.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path} answers {answer.status_code}")
        times.append(1000 * (time.monotonic() - begun))
    return times[1:]  # the first one compiles templates
