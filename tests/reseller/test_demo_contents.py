"""What the demo holds: exact money, five weeks of sending, everybody in their place."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Count, Q, Sum
from django.utils import timezone

from accounts.models import User
from accounts.services.accounts import get_platform
from billing.forecasts import forecast
from billing.models import BillingTerms, Rate, RateCard, TopUp
from billing.proof import run_proofs
from billing.selectors import balance_of
from billing.services.topup_limits import check_amount
from billing.subscription_models import ServiceCharge
from keywords.models import Keyword
from messaging.models import (
    Batch,
    Conversation,
    InboundAction,
    Message,
    MessagePart,
    Receipt,
    RouteRule,
    SendingTerms,
)
from messaging.proof import PROOFS
from tests.cast import check_now
from tests.demo import account_of
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.numbering import read_number

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo_data")]


def test_the_books_of_the_demo_are_right_to_the_last_decimal():
    check_now()
    wrong = [verdict for verdict in run_proofs(PROOFS) if verdict.count]
    assert wrong == []
    open_money = Message.objects.filter(settled_at=None).exclude(state="scheduled").count()
    assert open_money == 0


def test_everybody_of_the_demo_has_a_place_and_the_public_password():
    users = User.objects.filter(email__endswith="@demo.example")
    assert users.count() == 8
    assert all(user.check_password("Demo-pass-2026") for user in users[:1])
    assert users.values("password").distinct().count() == 1
    staff = users.get(email="admin@demo.example")
    assert staff.is_staff
    assert staff.is_superuser
    assert not staff.memberships.exists()
    reseller = account_of("reseller")
    assert reseller.parent == get_platform()
    assert reseller.can_have_children
    assert reseller.currency == "AUD"
    methods = dict(BillingTerms.objects.filter(account__parent=reseller).values_list("account__name", "method"))
    assert sorted(methods.values()) == ["bill_to_parent", "card_fixed", "card_variable", "sms_credits"]
    assert account_of("client").billing_terms.sms_margin == Decimal("0.02")
    assert account_of("outsider").currency == "USD"
    assert account_of("outsider-client").parent == account_of("outsider")


def test_clients_and_resellers_have_every_kind_of_terms():
    for login in ("client", "billed", "fixed", "outsider-client"):
        account = account_of(login)
        assert account.number_terms.margin == 5
        assert account.keyword_terms.is_enabled
    assert account_of("reseller").client_defaults.sms_margin == Decimal("0.02")


def test_the_client_can_top_up_fifty_right_away():
    check_amount(terms=account_of("client").billing_terms, amount=Decimal(50), now=timezone.now())


def test_history_reaches_back_five_weeks_and_ends_before_now():
    times = [batch.accepted_at for batch in Batch.objects.order_by("id")]
    now = timezone.now()
    assert times == sorted(times)
    assert 33 <= (now - times[0]).days <= 36
    assert times[-1] < now
    first, last = Message.objects.order_by("id").first(), Message.objects.order_by("-id").first()
    assert (now - first.accepted_at).days >= 33
    assert last.accepted_at < now
    assert 2_000 < Message.objects.count() < 10_000


def test_batches_and_receipts_agree_with_their_messages():
    for batch in Batch.objects.all():
        found = Message.objects.filter(batch=batch).aggregate(n=Count("id"), parts=Sum("parts"), price=Sum("price"))
        assert (found["n"], found["parts"], found["price"]) == (batch.message_count, batch.part_count, batch.price)
        assert batch.exclusions.count() == batch.excluded_count
    told = Message.objects.filter(state__in=["delivered", "undelivered", "expired"])
    assert Receipt.objects.count() == told.aggregate(n=Sum("parts"))["n"]
    assert not Receipt.objects.filter(applied_at=None).exists()
    long = Message.objects.filter(parts__gt=1, sent_at__isnull=False)
    assert MessagePart.objects.count() == long.aggregate(n=Sum("parts"))["n"]
    states = set(Message.objects.values_list("state", flat=True))
    assert {"delivered", "undelivered", "expired", "rejected", "cancelled"} <= states
    refused = Message.objects.filter(state="rejected")
    assert not refused.filter(Q(sent_at__isnull=False) | ~Q(carrier_id="")).exists()


def test_only_the_billed_client_has_display_prices():
    billed, reseller = account_of("billed"), account_of("reseller")
    displayed = Message.objects.exclude(display_price=None)
    assert set(displayed.values_list("account", "payer")) == {(billed.pk, reseller.pk)}
    message = Message.objects.filter(account=billed).first()
    assert message.display_price == message.price + message.parts * Decimal("0.035")


def test_every_currency_has_a_card_with_thirty_countries_and_longer_prefixes():
    cards = RateCard.objects.filter(is_default=True)
    assert sorted(card.currency for card in cards) == ["AUD", "EUR", "GBP", "USD"]
    for card in RateCard.objects.all():
        assert Rate.objects.filter(rate_card=card).values("country").distinct().count() >= 30
        assert Rate.objects.filter(rate_card=card, prefix__startswith="614915").exists()
        assert not Rate.objects.filter(rate_card=card, price=0).exists()
    choices = RouteRule.objects.get(prefix="").choices.select_related("route__smpp_connector")
    assert [(one.route.code, one.route.smpp_connector.is_enabled) for one in choices] == [
        ("simulator", True), ("reserve", False)
    ]  # fmt: skip
    assert Message.objects.filter(sent_at__isnull=False, cost__isnull=False).exists()


def test_wallets_hold_what_top_ups_brought_less_what_was_sent():
    client = account_of("client")
    paid = TopUp.objects.filter(account=client).aggregate(total=Sum("amount"))["total"]
    sent = Message.objects.filter(account=client, sent_at__isnull=False).aggregate(total=Sum("price"))["total"]
    services = ServiceCharge.objects.filter(payer=client).aggregate(total=Sum("amount"))["total"]
    assert services == Decimal(34), "a number at 19 + 5 and a keyword at 10"
    assert balance_of(client).available == paid - sent - services
    assert balance_of(client).held == 0


def test_thirty_numbers_of_the_demos_countries_arrive_on_the_simulators_route():
    numbers = VirtualNumber.objects.all()
    assert numbers.count() == 30
    assert set(numbers.values_list("route__code", flat=True)) == {"simulator"}
    assert set(numbers.values_list("country", flat=True)) == {"AU", "NZ", "GB", "US"}
    assert all(read_number(one.number, one.country, one.kind) == one.number for one in numbers)
    assert numbers.filter(prices__currency="AUD").count() == numbers.filter(prices__currency="USD").count() == 30


def test_numbers_are_leased_given_and_to_spare():
    reseller, client, billed = account_of("reseller"), account_of("client"), account_of("billed")
    leases = Lease.objects.order_by("number__number")
    assert [(lease.account, lease.holder) for lease in leases] == [
        (reseller, reseller), (reseller, reseller), (reseller, billed), (client, client),
    ]  # fmt: skip
    assert [due.amount for due in forecast(client)] == [Decimal(24), Decimal(10)] * 2
    assert {lease.subscription.state for lease in leases} == {"active"}


def test_keywords_reply_and_fill_a_list_and_somebody_opted_out():
    client = account_of("client")
    join, hours = Keyword.objects.order_by("pk")
    assert (join.account, join.word, join.number.leases.get().holder) == (client, "JOIN", client)
    assert join.first_reply
    assert join.later_reply
    assert join.contact_list.members.count() == 1
    assert hours.account == account_of("billed")
    assert Conversation.objects.filter(account=client).count() == 6
    assert sum(Conversation.objects.values_list("unread", flat=True)) == 2
    assert client.opt_outs.get(ended_at=None).source == "reply"
    assert not InboundAction.objects.filter(state="waiting").exists(), "loading the demo sends nothing"


def test_a_client_has_dispatch_hours_and_a_batch_for_tomorrow_within_them():
    couriers = account_of("fixed")
    terms = SendingTerms.objects.get(account=couriers)
    batch = Batch.objects.get(send_at__gt=timezone.now())
    local = batch.send_at.astimezone(ZoneInfo(couriers.time_zone))
    assert terms.dispatch_from < local.time() < terms.dispatch_until
    assert (batch.account, batch.message_count, batch.excluded_count) == (couriers, 6, 0)
    assert set(batch.messages.values_list("state", "not_before")) == {("scheduled", batch.send_at)}
    assert balance_of(couriers).held == batch.price > 0
