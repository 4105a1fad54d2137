"""Single messages share what was read of prices and routes, and a change counts from the moment of its commit."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.services.accounts import suspend_account
from billing.models import BillingTerms, CountryMargin, Quote, Rate
from messaging.exceptions import AccountSuspended
from messaging.models import Batch, Route, RouteCost
from messaging.services.acceptance import Single, accept_singles
from tests.cast import Member, make_client

D = Decimal


def prices_of(*members: Member, number: str = "+61412345678") -> list[Decimal]:
    """What a single message of each costs now, accepted together with another of the first."""
    singles = [Single(one.account, None, "rest", "Shop", "Hello", number) for one in (*members, members[0])]
    batches = [one for one in accept_singles(singles) if isinstance(one, Batch)]
    assert len(batches) == len(singles)
    return [batch.price for batch in batches[:-1]]


def elsewhere(work: Any) -> None:
    """Do it in another connection."""

    def run() -> None:
        work()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)


def test_what_was_read_is_used_again(committed_db: object, client_member: Member, reseller: Member):
    assert prices_of(client_member) == [D("0.07")]
    with CaptureQueriesContext(
        connection,
    ) as first:
        prices_of(client_member)
    terms = [query["sql"] for query in first if 'FROM "billing_rate"' in query["sql"] or "routerule" in query["sql"]]
    assert terms == []
    assert len(first) <= 20
    other = make_client(reseller, "Other client", method=BillingTerms.Method.BILL_TO_PARENT)
    assert prices_of(client_member, other) == [D("0.07"), D("0.05")]


@pytest.mark.parametrize(
    ("change", "price"),
    [
        (lambda client: BillingTerms.objects.filter(account=client).update(sms_margin=D("0.03")), D("0.08")),
        (lambda client: CountryMargin.objects.create(account=client, country="AU", sms_margin=D("0.01")), D("0.06")),
        (lambda client: Rate.objects.filter(prefix="61").update(price=D("0.04")), D("0.06")),
    ],
)
def test_a_price_counts_from_its_commit(committed_db: object, client_member: Member, change: Any, price: Decimal):
    assert prices_of(client_member) == [D("0.07")]
    committing, committed = threading.Event(), threading.Event()

    def change_slowly() -> None:
        with transaction.atomic():
            change(client_member.account)
            committing.set()
            committed.wait(30)

    thread = threading.Thread(target=lambda: elsewhere(change_slowly))
    thread.start()
    committing.wait(30)
    assert prices_of(client_member) == [D("0.07")]  # and keeps it, read anew or not
    committed.set()
    thread.join(30)
    assert prices_of(client_member) == [price]


def test_a_change_that_is_rolled_back_leaves_nothing(committed_db: object, client_member: Member):
    assert prices_of(client_member) == [D("0.07")]
    try:
        with transaction.atomic():
            Rate.objects.filter(prefix="61").update(price=D("0.04"))
            assert prices_of(client_member) == [D("0.06")]
            raise InterruptedError
    except InterruptedError:
        pass
    assert prices_of(client_member) == [D("0.07")]


def test_quotes_of_a_transaction_that_is_rolled_back_are_not_used_again(committed_db: object, client_member: Member):
    assert prices_of(client_member) == [D("0.07")]
    try:
        with transaction.atomic():
            prices_of(client_member, number="+447400123456")
            raise InterruptedError
    except InterruptedError:
        pass
    assert prices_of(client_member, number="+447400123457") == [D("0.05")]
    assert Quote.objects.filter(prefix="44").count() == 1


def test_a_suspension_and_a_route_s_cost_count_at_once(committed_db: object, client_member: Member, reseller: Member):
    prices_of(client_member)
    RouteCost.objects.create(route=Route.objects.get(), prefix="61", currency="AUD", amount=D("0.011"))
    prices_of(client_member)
    newest = Batch.objects.order_by("-pk").first()
    assert newest is not None
    assert newest.messages.get().cost == D("0.011")
    suspend_account(account=reseller.account, reason="Unpaid", actor=None)
    singles = [Single(client_member.account, None, "rest", "Shop", "Hello", "+61412345678")] * 2
    assert [type(answer) for answer in accept_singles(singles)] == [AccountSuspended] * 2
