"""How cost grows with the table: the same batch and the same pages on ever more messages."""

import time
from statistics import median, quantiles
from typing import Any

import psycopg

from benchmarks.portal import say
from benchmarks.sending_scene import TENANTS
from benchmarks.traffic import Traffic

PAGES = 40  # requests of each page
CHUNK = 500_000

# Ids lie in the last 60 days; eight tenants in turn, batches of their own of 1,000 messages.
_HISTORY = """
    INSERT INTO messaging_message (id, batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts,
        price, message_class, priority, state, sent_at, done_at, carrier_id, settled_at)
    SELECT uuidv7(back), %(batch)s, a, a, %(route)s, q, '+6142' || lpad((n %% 10000000)::text, 7, '0'), 'Bench', 1,
        0.07, 2, 0, CASE WHEN n %% 20 = 0 THEN 'undelivered' ELSE 'delivered' END, now() + back, now() + back,
        'h' || to_hex(n), now() + back
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    CROSS JOIN LATERAL (SELECT -interval '1 second' * (n * %(step)s),
        (%(accounts)s::bigint[])[1 + n %% %(tenants)s], (%(quotes)s::bigint[])[1 + n %% %(tenants)s]) AS r(back, a, q)
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
        figures |= {"messages_page_p95_ms": self._page_ms("/messages/"), "report_p95_ms": self._page_ms("/reports/")}
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
        from messaging.models import Message

        scene, largest = self._traffic.scene, self._traffic.sizes.history[-1]
        accounts = [member.account.pk for member in scene.tenants]
        quotes = dict(Message.objects.values_list("account_id", "quote_id").distinct())
        values: dict[str, Any] = {
            "batch": "00000000-0000-7000-8000-000000000001", "route": scene.route.pk, "accounts": accounts,
            "quotes": [quotes.get(account, next(iter(quotes.values()))) for account in accounts],
            "tenants": TENANTS, "step": 60 * 86_400 / largest,
        }  # fmt: skip
        begun = time.monotonic()
        with psycopg.connect(self._traffic.postgres.url, autocommit=True) as session:
            while self._rows < rows:
                last = min(rows, self._rows + CHUNK)
                session.execute(_HISTORY, values | {"first": self._rows + 1, "last": last})
                self._rows = last
            session.execute("VACUUM ANALYZE messaging_message")
        say(f"{rows:,} messages in the table after {time.monotonic() - begun:.0f} s")

    def _empty(self) -> None:
        with psycopg.connect(self._traffic.postgres.url, autocommit=True) as session:
            session.execute("DELETE FROM messaging_message WHERE carrier_id LIKE 'h%'")

    def _page_ms(self, path: str) -> float:
        """95th percentile of a tenant's and its reseller's page, all as a person would choose it."""
        from django.test import Client

        times = []
        for member in (self._traffic.scene.tenants[0], self._traffic.scene.reseller):
            browser = Client(headers={"host": "127.0.0.1"})
            browser.force_login(member.user, backend="allauth.account.auth_backends.AuthenticationBackend")
            for number in range(PAGES // 2 + 1):
                begun = time.monotonic()
                answer = browser.get(path, {"state": "undelivered"} if number % 2 and "messages" in path else {})
                if answer.status_code != 200:
                    raise SystemExit(f"{path} answers {answer.status_code}")
                if number:  # the first one compiles templates
                    times.append(1000 * (time.monotonic() - begun))
        return quantiles(times, n=20)[-1]
