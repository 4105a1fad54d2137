"""Subscriptions: anniversaries, renewals to the last place, and months that come late."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEntry
from billing.exceptions import SubscriptionOver
from billing.models import BillingTerms, Subscription
from billing.months import month_after
from billing.services import ledger, subscriptions
from billing.services.service_prices import ServicePrice, keyword_sale
from billing.services.subscriptions import Counts
from billing.subscription_models import ServiceCharge
from tests.billing.credits import make_credits_client
from tests.billing.services import (
    at,
    available,
    every_day,
    lease_number,
    make_number,
    movements_of,
    renew,
    revenue,
    set_margin,
    sides,
)
from tests.cast import Member, check_now, fund, make_client
from virtual_numbers.models import NumberPrice

D = Decimal
SYDNEY = ZoneInfo("Australia/Sydney")


@pytest.fixture
def rich_client(client_member: Member) -> Member:
    """Wallet 200.00, number margin 5.00."""
    fund(client_member, "190", key="rich")
    set_margin(client_member, "5.00")
    return client_member


def months_of(subscription: Subscription) -> list[tuple[str, str]]:
    """Begin and end of every month charged."""
    return [(f"{one.begins_on}", f"{one.ends_on}") for one in subscription.charges.order_by("begins_on")]


# --- Anniversaries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "following"),
    [
        ("2027-01-31", ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]),
        ("2028-01-31", ["2028-02-29", "2028-03-31"]),
        ("2027-01-29", ["2027-02-28", "2027-03-29"]),
        ("2027-11-30", ["2027-12-30", "2028-01-30", "2028-02-29", "2028-03-30"]),
        ("2027-12-01", ["2028-01-01", "2028-02-01"]),
    ],
)
def test_an_anniversary_keeps_its_day_through_shorter_months(first: str, following: list[str]) -> None:
    day, anchor = date.fromisoformat(first), date.fromisoformat(first).day
    found = [day := month_after(day, anchor) for _ in following]
    assert [f"{one}" for one in found] == following


def test_a_number_leased_on_the_31st_renews_on_last_days_and_on_the_31st_again(rich_client: Member) -> None:
    lease = lease_number(rich_client, now=at("2027-01-31"))
    every_day(at("2027-01-31"), 121, renew)
    assert months_of(lease.subscription) == [
        ("2027-01-31", "2027-02-28"),
        ("2027-02-28", "2027-03-31"),
        ("2027-03-31", "2027-04-30"),
        ("2027-04-30", "2027-05-31"),
        ("2027-05-31", "2027-06-30"),
    ]


def test_a_day_begins_at_midnight_of_the_account(rich_client: Member) -> None:
    lease = lease_number(rich_client, now=datetime(2027, 5, 9, 14, 30, tzinfo=ZoneInfo("UTC")))  # the 10th in Sydney
    assert lease.subscription.anchor_day == 10
    assert renew(datetime(2027, 6, 9, 23, 59, 59, tzinfo=SYDNEY)) == Counts()
    assert renew(datetime(2027, 6, 10, 0, 0, tzinfo=SYDNEY)) == Counts(months=1)


# --- Renewals ------------------------------------------------------------------------------------------------------


def test_each_renewal_takes_24_and_credits_5(reseller: Member, rich_client: Member) -> None:
    lease = lease_number(rich_client, now=at("2027-01-10"))
    for count, day in enumerate(("2027-02-10", "2027-03-10", "2027-04-10"), 2):
        assert renew(at(day)) == Counts(months=1)
        check_now()
        assert available(rich_client.account) == D(200) - 24 * count
        assert available(reseller.account) == D(100) + 5 * count
        assert revenue() == D(19) * count
    found = movements_of(lease.subscription)
    assert [sides(one) for one in found] == [{"Client": D(-24), "Reseller": D(5), "Relay": D(19)}] * 4
    assert [one.idempotency_key for one in found[:2]] == [
        f"renewal:{lease.subscription.code}:2027-01-10", f"renewal:{lease.subscription.code}:2027-02-10"
    ]  # fmt: skip
    assert found[1].description == "+61480000001, 10 Feb 2027 to 9 Mar 2027"
    assert found[1].actor is None


def test_a_renewal_is_priced_on_its_day(reseller: Member, rich_client: Member) -> None:
    lease = lease_number(rich_client, now=at("2027-01-10"))
    set_margin(rich_client, "6.5")
    NumberPrice.objects.update(monthly=D("20"))
    renew(at("2027-02-10"))
    assert sides(movements_of(lease.subscription)[-1]) == {"Client": D("-26.5"), "Reseller": D("6.5"), "Relay": D(20)}


def test_who_pays_by_then_pays_a_renewal(reseller: Member, client_member: Member) -> None:
    fund(client_member, "9", key="exactly")
    lease = lease_number(client_member, now=at("2027-01-10"))
    BillingTerms.objects.filter(account=client_member.account).update(method="bill_to_parent")
    renew(at("2027-02-10"))
    assert sides(movements_of(lease.subscription)[-1]) == {"Reseller": D(-19), "Relay": D(19)}
    assert [one.payer.name for one in lease.subscription.charges.order_by("pk")] == ["Client", "Reseller"]


def test_running_twice_charges_once(rich_client: Member) -> None:
    lease_number(rich_client, now=at("2027-01-10"))
    assert [renew(at("2027-02-10")) for _ in range(3)] == [Counts(months=1), Counts(), Counts()]
    assert available(rich_client.account) == D(152)


def test_a_task_that_stood_still_for_two_months_charges_each_once(reseller: Member, rich_client: Member) -> None:
    lease = lease_number(rich_client, now=at("2027-01-31"))
    assert renew(at("2027-04-05")) == Counts(months=2)
    assert renew(at("2027-04-05")) == Counts()
    assert months_of(lease.subscription)[1:] == [("2027-02-28", "2027-03-31"), ("2027-03-31", "2027-04-30")]
    assert available(rich_client.account) == D(200) - 3 * 24
    assert available(reseller.account) == D(115)


def test_a_late_task_charges_what_there_is_money_for_and_gives_its_full_grace(client_member: Member) -> None:
    fund(client_member, "30", key="for two months")
    lease = lease_number(client_member, now=at("2027-01-10"))
    assert renew(at("2027-04-05")) == Counts(months=1, grace=1)
    subscription = Subscription.objects.get()
    assert (subscription.state, f"{subscription.due_since}") == ("grace", "2027-04-05")
    assert months_of(lease.subscription)[-1] == ("2027-02-10", "2027-03-10")
    assert available(client_member.account) == D(2)
    assert renew(at("2027-04-11")) == Counts()
    assert renew(at("2027-04-12")) == Counts(suspended=1)


def test_one_that_cannot_be_priced_does_not_keep_others_from_renewing(rich_client: Member) -> None:
    broken = lease_number(rich_client, make_number("+61480000002"), now=at("2027-01-09"))
    lease_number(rich_client, now=at("2027-01-10"))
    NumberPrice.objects.filter(number=broken.number).delete()
    assert renew(at("2027-02-10")) == Counts(months=1, failed=1)
    assert available(rich_client.account) == D(200) - 3 * 24


def test_services_are_renewed_apart(rich_client: Member) -> None:
    lease_number(rich_client, now=at("2027-01-10"))
    price = keyword_sale(rich_client.account, D(10))
    subscriptions.start(
        account=rich_client.account, service="keyword", label="PIZZA", first=price, setup=None, actor=None,
        now=at("2027-01-10"),
    )  # fmt: skip
    assert renew(at("2027-02-10")) == Counts(months=1)
    done = subscriptions.renew_due("keyword", price_of=lambda one: price, on_end=lambda one: None, now=at("2027-02-10"))
    assert done == Counts(months=1)
    assert available(rich_client.account) == D(200) - 2 * 24 - 2 * 10


# --- Keywords' prices ----------------------------------------------------------------------------------------------


def sell(member: Member, amount: str) -> dict[str, Decimal]:
    """One keyword sold to the member: who paid and earned what."""
    made = subscriptions.start(
        account=member.account, service="keyword", label="PIZZA", first=keyword_sale(member.account, D(amount)),
        setup=None, actor=None, now=at("2027-01-10"),
    )  # fmt: skip
    check_now()
    (movement,) = movements_of(made)
    assert movement.kind == "keyword"
    return sides(movement)


@pytest.mark.parametrize(
    ("amount", "parents", "platforms"),
    [
        ("10", "8", "2"),
        ("0.01", "0.008", "0.002"),
        ("3.33", "2.664", "0.666"),
        ("0.000003", "0.000002", "0.000001"),  # 0.0000006 of it is no money
        ("0.000002", "0.000002", "0"),
    ],
)
def test_the_platform_keeps_a_fifth_of_a_keyword_and_the_parent_gets_the_rest(
    client_member: Member, amount: str, parents: str, platforms: str
) -> None:
    expected = {"Client": -D(amount), "Reseller": D(parents), "Relay": D(platforms)}
    assert sell(client_member, amount) == {name: share for name, share in expected.items() if share}


def test_a_parent_that_pays_for_its_clients_keyword_pays_the_platforms_share_only(
    reseller: Member, billed_member: Member
) -> None:
    assert sell(billed_member, "10") == {"Reseller": D(-2), "Relay": D(2)}
    assert sell(make_credits_client(reseller), "0.01") == {"Reseller": D("-0.002"), "Relay": D("0.002")}
    charged = ServiceCharge.objects.first()
    assert (charged.amount, charged.payer, charged.earnings) == (
        D(10), reseller.account, [[reseller.account.pk, "8.000000"]]
    )  # fmt: skip


def test_only_the_parent_shares_a_keyword_of_a_tree_of_three(reseller: Member) -> None:
    middle = make_client(reseller, "Middle")
    type(middle.account).objects.filter(pk=middle.account.pk).update(can_have_children=True)
    middle.account.refresh_from_db()
    client = make_client(middle, "Below")
    fund(client, "10")
    assert sell(client, "10") == {"Below": D(-10), "Middle": D(8), "Relay": D(2)}
    assert sell(reseller, "10") == {"Reseller": D(-10), "Relay": D(10)}  # the platform's own client


def test_the_platforms_share_is_a_setting(client_member: Member, settings) -> None:
    settings.KEYWORD_PLATFORM_SHARE = D("0.35")
    assert sell(client_member, "1") == {"Client": D(-1), "Reseller": D("0.65"), "Relay": D("0.35")}


def test_a_keyword_whose_price_is_all_the_payers_own_share_moves_nothing(billed_member: Member, settings) -> None:
    settings.KEYWORD_PLATFORM_SHARE = D(0)
    made = subscriptions.start(
        account=billed_member.account, service="keyword", label="PIZZA", setup=None, actor=None,
        first=keyword_sale(billed_member.account, D(10)), now=at("2027-01-10"),
    )  # fmt: skip
    assert movements_of(made) == []


# --- The end, and what the database refuses ------------------------------------------------------------------------


def test_a_subscription_ends_once(rich_client: Member) -> None:
    subscription = lease_number(rich_client, now=at("2027-01-10")).subscription
    subscriptions.end(subscription, actor=rich_client.user, now=at("2027-01-20"))
    with pytest.raises(SubscriptionOver):
        subscriptions.end(subscription, actor=None, now=at("2027-01-21"))
    subscription.refresh_from_db()
    assert (subscription.state, subscription.ended_at) == ("ended", at("2027-01-20"))
    assert AuditEntry.objects.filter(action="number.ended").count() == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_subscription SET next_renewal_on = next_renewal_on - 1",
        "UPDATE billing_subscription SET anchor_day = 11",
        "UPDATE billing_subscription SET state = 'grace'",
        "UPDATE billing_subscription SET state = 'ended'",
        "UPDATE billing_subscription SET due_since = '2027-01-10'",
        "UPDATE billing_servicecharge SET amount = 0",
        "DELETE FROM billing_servicecharge",
        "DELETE FROM billing_subscription",
        "INSERT INTO billing_servicecharge (subscription_id, part, begins_on, ends_on, payer_id, currency, amount,"
        " earnings, created_at) SELECT subscription_id, 'paused', begins_on, ends_on, payer_id, currency, 0,"
        " earnings, created_at FROM billing_servicecharge",
    ],
)
def test_the_database_refuses_what_no_subscription_may_become(rich_client: Member, change: str) -> None:
    lease_number(rich_client, now=at("2027-01-10"))
    with pytest.raises(Exception) as refused, transaction.atomic(), connection.cursor() as cursor:  # noqa: PT011
        cursor.execute(change)
    assert isinstance(refused.value, IntegrityError) or "denied" in str(refused.value)


def test_an_ended_subscription_stays_ended(rich_client: Member) -> None:
    subscription = lease_number(rich_client).subscription
    subscriptions.end(subscription, actor=None, now=at("2027-01-20"))
    with pytest.raises(IntegrityError, match="comes back"), transaction.atomic():
        Subscription.objects.update(state="active", ended_at=None)


def test_a_month_is_charged_in_one_movement_with_the_subscription(rich_client: Member) -> None:
    """A charge that fails after the movement leaves neither."""
    price = ServicePrice(rich_client.account, "AUD", D(24), {})
    with pytest.raises(IntegrityError):
        subscriptions.start(
            account=rich_client.account, service="number", label="x" * 80, first=price,
            setup=ServicePrice(rich_client.account, "AUD", D(-1), {}), actor=None, now=at("2027-01-10"),
        )  # fmt: skip
    assert not Subscription.objects.exists()
    assert available(rich_client.account) == D(200)
    assert ledger.open_account(rich_client.account, "wallet").entries.count() == 2
