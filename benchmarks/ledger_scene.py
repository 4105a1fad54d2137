"""What the ledger's benchmark works on: a tree of five paying levels, and histories written in sets by the owner."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from accounts.services.accounts import get_platform
from billing.models import BillingTerms, LedgerAccount
from billing.services import ledger
from billing.services.pricing import PriceList
from messaging.models import Batch, Route
from tests.cast import Member, fund, make_client, make_rates, make_reseller, make_route

NUMBER = "+61412345678"


@dataclass
class Scene:
    """The sender stands four margins below the platform's client; ``history`` gets a million entries."""

    sender: Member
    history: Member
    route: Route


def make_scene() -> Scene:
    """Commit rates, a route and the accounts."""
    get_platform()
    make_rates()
    route = make_route()
    above = make_reseller("Level 0")
    for level in range(1, 5):
        above = make_client(above, f"Level {level}", method=BillingTerms.Method.CARD_VARIABLE)
        above.account.can_have_children = True
        above.account.save(update_fields=["can_have_children"])
    history = make_reseller("History")
    for member in (above, history):
        fund(member, "100000000")
    return Scene(above, history, route)


_MESSAGES = """
    INSERT INTO messaging_message (batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts, price,
                                   message_class, priority, state, sent_at)
    SELECT %(batch)s, %(account)s, %(account)s, %(route)s, %(quote)s, '+6141' || lpad(n::text, 7, '0'), 'Bench', 1,
           %(price)s, 2, 0, 'sent', now() FROM generate_series(1, %(count)s) AS n
"""


def send(scene: Scene, count: int) -> UUID:
    """A batch of ``count`` messages that the carrier has taken and nothing has settled yet."""
    account = scene.sender.account
    prices = PriceList(account)
    price = prices.price_of(NUMBER)
    quote = prices.save_quotes([price])[price.prefix]
    batch = Batch.objects.create(
        account=account, payer=account, door=Batch.Door.WEB, state=Batch.State.ACCEPTED, sender="Bench", text="x",
        encoding="gsm7", message_count=count, part_count=count, currency=account.currency,
        price=quote.unit_price * count,
    )  # fmt: skip
    ledger.hold(ledger.HoldOrder(
        batch_id=batch.pk, account=account, payer=account, amount=batch.price, reference=batch.code, quantity=count,
        actor=None,
    ))  # fmt: skip
    values: dict[str, Any] = {
        "batch": batch.pk,
        "account": account.pk,
        "route": scene.route.pk,
        "quote": quote.pk,
        "count": count,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MESSAGES, values | {"price": quote.unit_price})
        cursor.execute("ANALYZE messaging_message")
    return batch.pk


# One cancelled message a batch: a hold and a release, each with two sides. Written with the triggers off, in the order
# and with the running balances that they would have made; verify_ledger would find any difference.
_HISTORY = (
    """CREATE TEMP TABLE made AS SELECT n, uuidv7(step.age) AS batch, now() + step.age AS moment,
           (SELECT coalesce(max(id), 0) FROM billing_ledgertransaction) + 2 * n - 1 AS held,
           (SELECT coalesce(max(id), 0) FROM billing_ledgerentry) + 4 * n - 3 AS entry
       FROM generate_series(1, {count}) AS n,
            LATERAL (SELECT interval '182 days' * ({half} + n::float / {count} - 2) AS age) AS step""",
    """INSERT INTO messaging_batch (id, code, account_id, payer_id, door, state, sender, text, encoding, message_class,
           idempotency_key, message_count, excluded_count, part_count, currency, price, refusal, created_at)
       SELECT batch, 'H' || n + {offset}, {account}, {account}, 'web', 'cancelled', 'Bench', 'x', 'gsm7', 2, '', 1, 0,
           1, 'AUD', {price}, '', moment FROM made""",
    """INSERT INTO billing_hold
           (batch_id, account_id, payer_id, movement_id, currency, amount, is_subsidy, captured, released, created_at)
       SELECT batch, {account}, {account}, held, 'AUD', {price}, false, 0, {price}, moment FROM made""",
    """INSERT INTO billing_ledgertransaction (id, kind, idempotency_key, currency, reference, description, quantity,
           about_id, created_at)
       SELECT held, 'hold', 'hold:' || batch, 'AUD', 'H' || n + {offset}, '', 1, {account}, moment FROM made
       UNION ALL
       SELECT held + 1, 'release', 'release:' || batch, 'AUD', 'H' || n + {offset}, '', 1, {account}, moment
       FROM made""",
    """INSERT INTO billing_ledgerentry (id, transaction_id, ledger_account_id, amount, balance_after)
       SELECT made.entry + side.at, made.held + side.later, side.account, side.amount, side.after
       FROM made, (VALUES (0, 0, {wallet}, -{price}, {balance} - {price}), (1, 0, {held}, {price}, {price}),
                          (2, 1, {held}, -{price}, 0), (3, 1, {wallet}, {price}, {balance}))
                  AS side(at, later, account, amount, after)""",
    """INSERT INTO messaging_message (id, batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts,
           price, message_class, priority, state, done_at, settled_at, settlement_id)
       SELECT uuidv7(moment - clock_timestamp()), batch, {account}, {account}, {route}, {quote}, '{number}', 'Bench',
           1, {price}, 2, 0, 'cancelled', moment, moment, held + 1 FROM made""",
    "SELECT setval(pg_get_serial_sequence('billing_ledgertransaction', 'id'), max(id)) FROM billing_ledgertransaction",
    "SELECT setval(pg_get_serial_sequence('billing_ledgerentry', 'id'), max(id)) FROM billing_ledgerentry",
    "DROP TABLE made",
    "ANALYZE",
)


def write_history(scene: Scene, url: str, entries: int, half: int) -> None:
    """Give the history account half a year of holds and releases: ``entries`` in all, half of them in its wallet.

    ``half`` 0 is the older one; ids follow time, so it comes first.
    """
    account = scene.history.account
    prices = PriceList(account)
    price = prices.price_of(NUMBER)
    quote = prices.save_quotes([price])[price.prefix]
    wallet = ledger.open_account(account, LedgerAccount.Kind.WALLET)
    values: dict[str, Any] = {
        "count": entries // 4, "half": half, "offset": half * entries, "account": account.pk, "route": scene.route.pk,
        "quote": quote.pk,
        "price": Decimal(quote.unit_price), "wallet": wallet.pk, "balance": wallet.balance, "number": NUMBER,
        "held": ledger.open_account(account, LedgerAccount.Kind.HELD).pk,
    }  # fmt: skip
    with psycopg.connect(url) as owner, owner.cursor() as cursor:
        cursor.execute("SELECT messaging_ensure_partitions((now() - interval '1 year')::date, now()::date)")
        cursor.execute("SET session_replication_role = replica")
        for statement in _HISTORY:
            cursor.execute(statement.format(**values).encode())


def count_ledger_rows() -> int:
    """Transactions and entries."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM billing_ledgertransaction) + (SELECT count(*) FROM billing_ledgerentry)"
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0
