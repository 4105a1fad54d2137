"""A payment while a process of the portal is killed is credited once."""

from collections.abc import Callable
from decimal import Decimal

import pytest
import requests
from playwright.sync_api import Page, expect

from billing.models import LedgerTransaction, TopUp
from reseller.run.stack import Stack
from tests.demo import log_in
from tests.e2e.test_topup import CLIENT, available, begin

CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_db")]


@pytest.mark.parametrize("victim", ["web", "worker-default", "stripe-double"])
def test_a_payment_survives_the_death_of(victim: str, stack: Stack, open_page: Callable[..., Page]) -> None:
    before = available()
    page = open_page()
    log_in(page, CLIENT)
    code = begin(page)
    if victim == "stripe-double":
        requests.post(page.url, data=CARD, allow_redirects=False, timeout=10)
        old = stack.kill(victim)
    else:
        old = stack.kill(victim)
        requests.post(page.url, data=CARD, allow_redirects=False, timeout=10)
    stack.wait_restarted(victim, old)
    page.goto(f"/billing/topups/{code}/?returned=paid")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Receipt {code}", timeout=45_000)
    assert available() == before + Decimal(10)
    assert TopUp.objects.get(code=code).state == "paid"
    assert LedgerTransaction.objects.filter(reference=code).count() == 1
