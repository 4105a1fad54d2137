"""The worked examples of docs/ledger.md: the tables are read from the page, done by the portal, and compared."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account
from billing.models import BillingTerms, LedgerTransaction, TopUp
from billing.selectors import balance_of, credits_of
from billing.services import card_movements, invoices, ledger, topups
from billing.services.credits import take_back_credits, transfer_credits
from billing.services.topup_limits import room_of
from billing.services.trials import grant_trial_credit
from messaging.exceptions import NotEnoughMoney, SendingNotAllowed
from messaging.models import Batch, Message
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund, make_client
from tests.messaging.rows import AU, accept

D = Decimal
Method = BillingTerms.Method
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ledger.md").read_text()
TWO_PARTS = "a" * 161
Row = tuple[str, dict[str, Decimal]]  # (kind of key, amount by column)

CREDIT_NAMES = {"wallet": "credits", "held": "held credits", "issued": "issued credits", "revenue": "used credits"}


def section(title: str, page: str = PAGE) -> str:
    """What the page says under a heading."""
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no example called {title}"
    return found[1]


def cells(title: str, page: str = PAGE) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of an example's table."""
    lines = [line for line in section(title, page).splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return header, rows


def table(title: str, page: str = PAGE) -> list[Row]:
    """The movements of an example as the page lists them."""
    header, rows = cells(title, page)
    return [
        (row[1].strip("`"), {name: amount(cell) for name, cell in zip(header[2:], row[2:], strict=True) if cell})
        for row in rows
    ]


def amount(text: str) -> Decimal:
    return D(text.replace("−", "-").replace(",", ""))


def done(people: dict[int, str], since: int) -> list[Row]:
    """The same of the ledger's transactions after ``since``."""
    found = LedgerTransaction.objects.filter(pk__gt=since).order_by("pk")
    return [(one.idempotency_key.split(":")[0], sides(one, people)) for one in found]


def sides(movement: LedgerTransaction, people: dict[int, str]) -> dict[str, Decimal]:
    entries = movement.entries.select_related("ledger_account")
    return {
        f"{people[e.ledger_account.owner_id]} {name_of(e.ledger_account.kind, movement.currency)}": e.amount
        for e in entries
    }


def name_of(kind: str, currency: str) -> str:
    return CREDIT_NAMES[kind] if currency == "SMS" else kind


def send(member: Member, *, refused: int = 1, count: int = 10, text: str = TWO_PARTS) -> Batch:
    """The page's batch: the carrier takes all but ``refused``."""
    batch = accept(member, [f"+614{10_000_000 + index}" for index in range(count)], text=text)
    messages = Message.objects.filter(batch=batch)
    messages.update(state="sent", sent_at=timezone.now())
    lost = list(messages.order_by("pk").values_list("pk", flat=True)[:refused])
    messages.filter(pk__in=lost).update(state="rejected", sent_at=None)
    settle_waiting(10_000)
    return batch


def pay(member: Member, paid: str) -> TopUp:
    now = timezone.now()
    topup = TopUp.objects.create(
        account=member.account, amount=D(paid), currency="AUD", expires_at=now + timedelta(hours=1)
    )
    for _ in range(2):
        topups.settle_payment(topups.Payment(topup.code, D(paid), "AUD", f"pi_{topup.code}", now))
    return topup


def card_client(reseller: Member) -> Member:
    return make_client(reseller, method=Method.CARD_FIXED, fixed_topup=D(20), minimum_topup=None)


def available(member: Member) -> Decimal:
    return balance_of(member.account).available


def card_fixed(reseller: Member) -> Member:
    client = card_client(reseller)
    pay(client, "20")
    send(client)
    assert available(client) == D("18.74")
    return client


def card_variable(reseller: Member) -> Member:
    client = make_client(reseller)
    pay(client, "35")
    pay(client, "12.50")
    assert available(client) == D("47.50")
    assert room_of(client.account.billing_terms, timezone.now()).left == D("52.50")
    return client


def bill_to_parent(reseller: Member) -> Member:
    client = make_client(reseller, method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None)
    batch = send(client)
    sent = Message.objects.filter(batch=batch, state="sent")
    assert sent.aggregate(total=Sum("display_price"))["total"] == D("1.62")
    assert available(reseller) == D("99.10")
    return client


def sms_credits(reseller: Member) -> Member:
    client = make_client(reseller, method=Method.SMS_CREDITS, minimum_topup=None, daily_topup_limit=None)
    transfer_credits(client=client.account, quantity=100, actor=None, expected_price=D(5), idempotency_key="a")
    send(client)
    take_back_credits(client=client.account, quantity=50, actor=None, expected_refund=D("2.50"), idempotency_key="b")
    assert (available(reseller), credits_of(client.account).available) == (D("97.50"), D(32))
    return client


def invoice(reseller: Member) -> Member:
    fund(reseller, "-100", key="empty")
    ledger.set_credit_limits(account=reseller.account, credit=D(50), overdraft=D(25))
    send(reseller, refused=0, count=500)
    invoices.postpaid_topup(account=reseller.account, amount=D(40), month=date(2026, 12, 1))
    fund(reseller, "30")
    fund(reseller, "-5")
    assert available(reseller) == D(90)
    assert available(reseller) - balance_of(reseller.account).credit_limit == D(15)
    return reseller


def trial(reseller: Member) -> Member:
    client = card_client(reseller)
    BillingTerms.objects.filter(account=client.account).update(trial_ends_on=timezone.now().date() + timedelta(days=9))
    grant_trial_credit(account=Account.objects.get(pk=client.account.pk), total=D(2), actor=None)
    send(client)
    pay(client, "20")
    assert not BillingTerms.objects.get(account=client.account).on_trial
    assert available(client) == D("20.74")
    return client


def refund(reseller: Member) -> Member:
    client = card_client(reseller)
    topup = pay(client, "20")
    for key, value in (("one", D(5)), ("two", D(15))):
        card_movements.card_refund(
            account=client.account, amount=value, key=key, topup_code=topup.code, reason="asked for", actor=None
        )
    card_movements.card_refund_failed(account=client.account, amount=D(15), key="two", topup_code=topup.code)
    assert available(client) == D(15)
    return client


def dispute(reseller: Member) -> Member:
    client = card_client(reseller)
    topup = pay(client, "20")
    send(client)
    told: dict[str, Any] = {"account": client.account, "amount": D(20), "topup_code": topup.code}
    card_movements.card_dispute(**told, dispute_id="dp_1")
    ledger.set_frozen(client.account, lambda: True)
    assert available(client) == D("-1.26")
    with pytest.raises((SendingNotAllowed, NotEnoughMoney)):
        accept(client, [AU])
    card_movements.card_dispute_won(**told, dispute_id="dp_1")
    ledger.set_frozen(client.account, lambda: False)
    assert available(client) == D("18.74")
    return client


EXAMPLES: dict[str, Callable[[Member], Member]] = {
    "Credit card, fixed amount": card_fixed,
    "Credit card, variable amounts": card_variable,
    "Bill to my account": bill_to_parent,
    "SMS credits": sms_credits,
    "Invoice": invoice,
    "Trial": trial,
    "Refund": refund,
    "Disputed payment": dispute,
}


# How the reseller of "Invoice" comes to its empty wallet.
EMPTIED: Row = ("manual", {"reseller wallet": D(-100), "platform manual": D(100)})


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_portal_moves_what_the_ledger_page_says(platform: Account, reseller: Member, title: str) -> None:
    since = LedgerTransaction.objects.latest("pk").pk
    client = EXAMPLES[title](reseller)
    people = {platform.pk: "platform", reseller.account.pk: "reseller"}
    people.setdefault(client.account.pk, "client")
    assert [row for row in done(people, since) if row != EMPTIED] == table(title)


def test_every_example_of_the_page_is_checked() -> None:
    assert set(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)) == set(EXAMPLES)
