"""What other portals of this kind do wrong with money, one test each: here it must not happen."""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models

from billing.exceptions import InsufficientFunds, NoPrice
from billing.models import BillingTerms, LedgerTransaction, Rate
from billing.selectors import balance_of, credits_of
from billing.services.credits import transfer_credits
from billing.services.pricing import PriceList
from messaging.exceptions import NotEnoughMoney, NothingToSend
from messaging.models import Batch, Message
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund, make_client, make_reseller
from tests.messaging.rows import AU, accept, settle_as

D = Decimal
ROOT = Path(__file__).resolve().parents[2]


# --- "A parent that holds 500 credits grants 5,000" ----------------------------------------------------------------


def test_a_parent_whose_wallet_covers_500_credits_cannot_transfer_5000(platform: object) -> None:
    parent = make_reseller()
    fund(parent, "25")  # 500 × 0.05
    child = make_client(
        parent, "Child", method="sms_credits", minimum_topup=None, daily_topup_limit=None, sms_margin=D(0)
    )
    with pytest.raises(InsufficientFunds):
        transfer_credits(
            client=child.account, quantity=5000, actor=None, expected_price=D(250), idempotency_key="much"
        )  # fmt: skip
    assert (balance_of(parent.account).available, credits_of(child.account).available) == (D(25), D(0))
    transfer_credits(client=child.account, quantity=500, actor=None, expected_price=D(25), idempotency_key="right")
    assert (balance_of(parent.account).available, credits_of(child.account).available) == (D(0), D(500))
    with pytest.raises(InsufficientFunds):
        transfer_credits(client=child.account, quantity=1, actor=None, expected_price=None, idempotency_key="more")
    assert credits_of(child.account).available == D(500)
    call_command("verify_ledger")


# --- "Sends for free when the price equals the balance" ------------------------------------------------------------


def test_a_message_whose_price_equals_the_balance_is_charged(reseller: Member) -> None:
    member = make_client(reseller)
    fund(member, "0.07")
    settle_as(accept(member), "sent")
    settle_waiting(10)
    balance = balance_of(member.account)
    assert (balance.available, balance.held) == (D(0), D(0))
    assert balance_of(reseller.account).available == D("100.02")
    with pytest.raises(NotEnoughMoney):
        accept(member)
    assert Batch.objects.count() == 1


def test_a_message_that_costs_a_millionth_more_than_the_balance_is_refused(reseller: Member) -> None:
    member = make_client(reseller)
    fund(member, "0.069999")
    with pytest.raises(NotEnoughMoney) as refusal:
        accept(member)
    assert refusal.value.shortfall == D("0.000001")
    assert (Batch.objects.count(), balance_of(member.account).available) == (0, D("0.069999"))


# --- "Prices an unmatched prefix at 0" -----------------------------------------------------------------------------


def test_a_prefix_without_a_rate_is_refused_and_never_free(client_member: Member) -> None:
    with pytest.raises(NoPrice):
        PriceList(client_member.account).price_of("+12015550123")
    with pytest.raises(NothingToSend):
        accept(client_member, ["+12015550123"])
    batch = accept(client_member, ["+12015550123", AU])
    assert (batch.message_count, batch.excluded_count, batch.price) == (1, 1, D("0.07"))
    assert list(Message.objects.values_list("recipient", flat=True)) == [AU]
    assert balance_of(client_member.account).held == D("0.07")


def test_without_any_rate_nothing_is_sent(client_member: Member) -> None:
    Rate.objects.all().delete()
    with pytest.raises(NothingToSend):
        accept(client_member)
    assert not Message.objects.exists()


# --- "Charges for refused messages" --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["rejected", "blocked", "cancelled", "failed"])
def test_a_message_that_the_carrier_did_not_take_costs_nothing(
    client_member: Member, reseller: Member, state: str
) -> None:
    settle_as(accept(client_member, [AU, "+61412345679"]), state)
    assert settle_waiting(10) == 2
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D(10), D(0))
    assert balance_of(reseller.account).available == D(100)
    assert not LedgerTransaction.objects.filter(kind="capture").exists()


def test_recipients_that_are_left_out_cost_nothing(client_member: Member) -> None:
    accept(client_member, [AU, AU, "nobody", "+61293744000"])
    assert balance_of(client_member.account).held == D("0.07")


# --- "Keeps balances as floats" ------------------------------------------------------------------------------------

MONEY_LIKE = re.compile(
    r"amount|balance|price|margin|credit_limit|overdraft|allowance|captured|released$|earn|refund|topup_limit|fixed_topup"
)
BINARY = {"real", "double precision"}
# Messages that an account may still send within its throughput, and seconds. Whoever adds a column says what it is.
PLACES = {"django_celery_beat_solarschedule"}  # where on earth the sun rises
FLOATS = {("messaging_sendingpace", "tokens"), ("messaging_routeminute", "receipt_seconds")}


def test_no_column_of_the_portal_is_a_binary_float_that_could_be_money(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, data_type, numeric_precision, numeric_scale"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
        columns = cursor.fetchall()
    assert {(table, name) for table, name, kind, *_ in columns if kind in BINARY} == FLOATS
    inexact = [
        (table, name, kind, precision, scale)
        for table, name, kind, precision, scale in columns
        if kind == "numeric" and (precision, scale) != (18, 6) and table not in PLACES
    ]
    assert inexact == []


def test_every_field_that_is_called_like_money_is_exact() -> None:
    fields = [
        field
        for model in apps.get_models()
        if model._meta.app_label in {"accounts", "billing", "clients", "keywords", "messaging", "numbers"}
        for field in model._meta.get_fields()
        if isinstance(field, models.Field) and MONEY_LIKE.search(field.name)
    ]
    assert len(fields) > 20
    loose = [str(field) for field in fields if isinstance(field, models.FloatField)]
    assert loose == []


def money_modules() -> Iterator[Path]:
    for room in ("billing", "clients", "keywords", "virtual_numbers"):
        yield from (path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)
    names = ["acceptance", "cancelling", "planning", "settling"]
    yield from (ROOT / "messaging" / "services" / f"{name}.py" for name in names)
    yield from (ROOT / "messaging" / f"{name}.py" for name in ["exports", "preview", "proof", "reports", "selectors"])


def floats_in(source: str) -> list[int]:
    """Lines that make a binary float: ``float(…)``, a float literal, a cast in SQL."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.expr) and makes_float(node)]


def makes_float(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "float"
    if not isinstance(node, ast.Constant):
        return False
    casts = isinstance(node.value, str) and re.search(r"::\s*(real|float\d*|double precision)", node.value)
    return isinstance(node.value, float) or bool(casts)


# Seconds, and shares of a bar's length. Whoever adds a line here says what it is.
NOT_MONEY = {
    "messaging/services/cancelling.py: PAUSE = 0.02  # seconds between two rounds",
    "billing/gateways/stripe.py: TIMEOUT_SECONDS = (3.0, 9.0)",
    "messaging/selectors.py: shares, start = [], 0.0",
    "messaging/selectors.py: width = 100 * self.groups[name] / self.total if self.total else 0.0",
}


def test_no_code_that_touches_money_makes_a_float() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {path.read_text().splitlines()[line - 1].strip()}"
        for path in money_modules()
        for line in floats_in(path.read_text())
    }
    assert found - NOT_MONEY == set()


@pytest.mark.parametrize("source", ["float(price)", "price * 1.1", "sql = 'SELECT price::float8'"])
def test_canary_the_scan_finds_floats(source: str) -> None:
    assert floats_in(source) == [1]


def test_sums_of_many_prices_are_exact(reseller: Member) -> None:
    """Thirty parts at 0.012345 + 0.000001 are 0.37038; added up as floats they are not."""
    member = make_client(reseller, sms_margin=D("0.000001"))
    fund(member, "0.37038")
    batch = accept(member, [f"+6421{1_000_000 + index}" for index in range(30)])
    assert batch.price == D("0.37038")
    assert sum([0.012346] * 30) != 0.37038
    settle_as(batch, "sent")
    settle_waiting(100)
    assert balance_of(member.account).available == balance_of(member.account).held == 0
    assert balance_of(reseller.account).available == D("100.00003")
    assert BillingTerms.objects.get(account=member.account).sms_margin == D("0.000001")
