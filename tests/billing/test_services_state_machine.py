"""Random trees that lease numbers, buy keywords and live through months, beside everything else that moves money."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from billing.models import LedgerAccount, Subscription
from billing.services import subscriptions
from billing.services.service_prices import Line, keyword_sale
from tests.billing.money_model import Node
from tests.billing.service_model import ServiceBooks
from tests.billing.services import at, make_number
from tests.billing.test_state_machine import LONG, QUICK, Money
from virtual_numbers import prices
from virtual_numbers.models import NumberTerms
from virtual_numbers.services import leasing

D = Decimal
# Some that no share can be taken of exactly, some that nobody affords twice.
costs = st.sampled_from([D("0.000003"), D("0.01"), D("0.5"), D("1.234567"), D(6), D(19), D(0)])


class Services(Money):
    """As Money, with a calendar: every lease and keyword renews on the 10th."""

    def __init__(self) -> None:
        super().__init__()
        self.books = ServiceBooks()
        self.month = 0
        self.prices: dict[int, Decimal] = {}

    @property
    def now(self) -> datetime:
        return at(f"{2027 + self.month // 12}-{self.month % 12 + 1:02}-10")

    def add(self, parent: Node | None, method: str, margin: Decimal) -> Node:
        node = super().add(parent, method, margin)
        self.number_margin(node, D("0.25"))
        return node

    @rule(node=Money.nodes, margin=st.decimals("0", "6", places=6))
    def number_margin(self, node: Node, margin: Decimal) -> None:
        NumberTerms.objects.update_or_create(account_id=node.id, defaults={"margin": margin})
        self.books.margins[node.id] = margin

    @rule(node=Money.nodes, monthly=costs, setup=costs)
    def lease(self, node: Node, monthly: Decimal, setup: Decimal) -> None:
        number = make_number(f"+614800{len(self.key()):02}{self.keys:05}", monthly=str(monthly), setup=str(setup))
        self.same(
            lambda: self.books.start(node, "number", monthly, setup, self.month),
            lambda: leasing.lease(
                account=self.accounts[node.id], number=number, expected=None, actor=None, now=self.now
            ),
        )  # fmt: skip

    @rule(node=Money.nodes, price=costs)
    def keyword(self, node: Node, price: Decimal) -> None:
        account = self.accounts[node.id]
        done = self.same(
            lambda: self.books.start(node, "keyword", price, D(0), self.month),
            lambda: subscriptions.start(
                account=account, service="keyword", label="WORD", first=keyword_sale(account, price), setup=None,
                actor=None, now=self.now,
            ),
        )  # fmt: skip
        if done:
            self.prices[done[1].pk] = price

    @rule(months=st.integers(0, 3))
    def months_pass(self, months: int) -> None:
        """The task may come after one month or several, and again in the same one."""
        self.month += months
        assert leasing.renew_numbers(self.now).months == self.books.renew("number", self.month)
        done = subscriptions.renew_due(
            "keyword", price_of=lambda one: keyword_sale(one.account, self.prices[one.pk]), on_end=lambda one: None,
            now=self.now,
        )  # fmt: skip
        assert done.months == self.books.renew("keyword", self.month)
        assert done.failed == 0

    def teardown(self) -> None:
        paid = sum(one.paid_until <= self.month for one in self.books.services)
        assert Subscription.objects.filter(next_renewal_on__lte=self.now.date()).count() == paid
        super().teardown()


FEWER = settings(QUICK, max_examples=200 if LONG else 6)


@pytest.fixture
def endless_grace(settings: Any) -> None:
    """The way from unpaid to ended has tests of its own (test_unpaid_renewals.py)."""
    settings.RENEWAL_GRACE_DAYS = 100_000


@pytest.mark.long
def test_every_balance_is_the_models_with_numbers_and_keywords(db: None, endless_grace: None) -> None:
    run_state_machine_as_test(Services, settings=FEWER)


@pytest.mark.parametrize("broken", ["margins are forgotten", "the parent of a parent is paid"])
def test_canary_the_machine_notices_when(
    db: None, endless_grace: None, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A comparison that cannot fail would prove nothing."""
    if broken == "margins are forgotten":
        monkeypatch.setattr(prices.NumberPrices, "_load_shares", lambda self: [])
    else:
        monkeypatch.setattr(Line, "terms_with_money", lambda self, account_id: self._terms[0])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Services, settings=settings(QUICK, max_examples=100, phases=[Phase.generate], derandomize=True)
        )
    assert LedgerAccount.objects.count() == 0  # each example was rolled back
