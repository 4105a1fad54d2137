"""Random trees, payers, payments and messages against a model of a few dictionaries (tests/billing/money_model.py).

After every step every balance is compared and the books are proven; at the end of an example all proofs run. Each
example is rolled back. ``HYPOTHESIS_PROFILE=long`` plays many more and longer ones.
"""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Account
from accounts.services.accounts import create_account, get_platform
from billing.exceptions import BillingError
from billing.gateways.stripe_objects import DisputeState, RefundState
from billing.models import BillingTerms, CountryMargin, InvoiceTerms, LedgerAccount, TopUp
from billing.proof import PROOFS as BILLING_PROOFS
from billing.proof import Proof, run_proofs
from billing.services import ledger, topups
from billing.services.credits import take_back_credits, transfer_credits
from billing.services.disputes import apply_dispute
from billing.services.refunds import apply_refund, request_refund
from billing.services.terms import create_terms, update_terms
from messaging import models as messaging
from messaging.exceptions import SendingError
from messaging.proof import PROOFS
from messaging.services import settling
from messaging.services.acceptance import accept_batch
from messaging.services.cancelling import cancel_batch
from messaging.services.settling import settle_waiting
from tests.billing.money_model import PLATFORM, Batch, Books, Lot, Node, Refused
from tests.cast import check_now, make_rates, make_route

D = Decimal
Method = BillingTerms.Method
DEEPEST, MOST = 4, 8
# Australia, the same dearer, New Zealand, the United Kingdom, and one without a price.
NUMBERS = ["+61412345678", "+61412345679", "+61491570156", "+64211234567", "+447400123456", "+12015550123"]
OUTCOMES = ["sent", "delivered", "undelivered", "rejected", "failed", "unknown"]

amounts = st.decimals("0.000001", "30", places=6)
outcomes = st.lists(st.sampled_from(OUTCOMES), min_size=5, max_size=5)
# Below zero, too: then the seller adds to the price, or nobody can send.
margins = st.decimals("-0.03", "0.09", places=6)
funds = st.sampled_from([D(0), D("0.3"), D(20), D(20), D(20)])
methods = st.sampled_from(
    [Method.CARD_VARIABLE, Method.CARD_FIXED, Method.BILL_TO_PARENT, Method.INVOICE, Method.SMS_CREDITS]
)


@dataclass
class Paid:
    """A paid top-up and how much of it was not given back."""

    node: Node
    topup: TopUp
    left: Decimal


class Money(RuleBasedStateMachine):
    """The portal on one side, the model on the other."""

    nodes, batches, paid, disputes = Bundle("nodes"), Bundle("batches"), Bundle("paid"), Bundle("disputes")

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.books = Books()
        self.accounts: dict[int, Account] = {}
        self.in_credits: list[tuple[Node, list[Lot]]] = []
        self.keys = 0
        make_rates()
        make_route()
        self.platform = get_platform()

    def teardown(self) -> None:
        try:
            self.prove(PROOFS)
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    def key(self) -> str:
        self.keys += 1
        return f"step-{self.keys}"

    # --- The tree --------------------------------------------------------------------------------------------------

    @initialize(target=nodes, clients=st.lists(st.tuples(methods, margins, funds), min_size=1, max_size=4), money=funds)
    def tree(self, clients: list[tuple[str, Decimal, Decimal]], money: Decimal) -> Any:
        """A reseller with a line of accounts below it, some of them with money."""
        line = [self.add(None, Method.INVOICE, D(0))]
        self.fund(line[0], money)
        for method, margin, own in clients[: DEEPEST - 1]:
            line.append(self.add(line[-1], method, margin))
            self.fund(line[-1], own)
        return multiple(*line)

    @rule(target=nodes, parent=nodes, method=methods, margin=margins, money=funds)
    def client(self, parent: Node, method: str, margin: Decimal, money: Decimal) -> Any:
        assume(len(parent.line) < DEEPEST and len(self.accounts) < MOST)
        node = self.add(parent, method, margin)
        self.fund(node, money)
        return node

    def fund(self, node: Node, money: Decimal) -> None:
        if money:
            self.manual(node, money, 1)

    def add(self, parent: Node | None, method: str, margin: Decimal) -> Node:
        account = create_account(
            parent=self.accounts[parent.id] if parent else self.platform, name=f"Account {len(self.accounts)}",
            currency="" if parent else "AUD", actor=None, can_have_children=True, country="AU",
            time_zone="Australia/Sydney",
        )  # fmt: skip
        create_terms(account=account, actor=None, **terms_for(method), sms_margin=margin)
        self.accounts[account.pk] = account
        node = Node(account.pk, parent, method, margin)
        if method == Method.SMS_CREDITS:
            self.in_credits.append((node, []))
        return node

    @rule(node=nodes, margin=margins)
    def new_margin(self, node: Node, margin: Decimal) -> None:
        """What was accepted before keeps its price."""
        self.change(node, sms_margin=margin)
        node.margin = margin

    @rule(node=nodes, country=st.sampled_from(["AU", "NZ"]), margin=margins)
    def margin_for_a_country(self, node: Node, country: str, margin: Decimal) -> None:
        CountryMargin.objects.update_or_create(
            account_id=node.id, country=country, defaults={"sms_margin": margin}
        )  # fmt: skip
        node.country_margins[country] = margin

    def change(self, node: Node, **values: Any) -> None:
        update_terms(terms=BillingTerms.objects.get(pk=node.id), actor=None, **values)

    @rule(node=nodes, credit=st.sampled_from([D(0), D(1), D("7.5")]))
    def limit(self, node: Node, credit: Decimal) -> None:
        """Also below what is used: that leaves a debt."""
        account = self.accounts[node.id]
        InvoiceTerms.objects.update_or_create(account=account, defaults={"credit_limit": credit})
        ledger.set_credit_limits(account=account, credit=credit, overdraft=D(0))
        node.credit = credit

    # --- Money in and out ------------------------------------------------------------------------------------------

    @rule(node=nodes, amount=amounts, sign=st.sampled_from([1, 1, 1, -1]))
    def manual(self, node: Node, amount: Decimal, sign: int) -> None:
        self.same(
            lambda: self.books.pay_manually(node, amount * sign),
            lambda: ledger.manual_payment(
                account=self.accounts[node.id], amount=amount * sign, key=self.key(), reason="test", actor=None
            ),
        )

    @rule(target=paid, node=nodes, amount=st.integers(1, 2000), times=st.integers(1, 3))
    def topup(self, node: Node, amount: int, times: int) -> Any:
        """However often the gateway says that it was paid."""
        now, value = timezone.now(), D(amount) / 100
        topup = TopUp.objects.create(
            account=self.accounts[node.id], amount=value, currency="AUD", expires_at=now + timedelta(hours=1)
        )
        for _ in range(times):
            topups.settle_payment(topups.Payment(topup.code, value, "AUD", f"pi_{topup.code}", now))
        self.books.pay_by_card(node, value)
        topup.refresh_from_db()
        return Paid(node, topup, value)

    @rule(paid=paid, cents=st.integers(1, 2500), answers=st.lists(st.sampled_from(["succeeded", "failed"]), max_size=3))
    def refund(self, paid: "Paid", cents: int, answers: list[str]) -> None:
        """Asked for by staff; the bank may refuse it, at once or after it had agreed."""
        amount, key = D(cents) / 100, f"r{paid.topup.pk}n{self.key()[5:]}"
        done = self.same(
            lambda: self.books.give_back(paid.node, amount, paid.left),
            lambda: request_refund(topup=paid.topup, amount=amount, reason="test", key=key, actor=None),  # type: ignore[arg-type]
        )
        if done is None:
            return
        told = RefundState(f"re_{key}", key, paid.topup.payment_intent, amount, "AUD", "", "")
        for answer in answers:
            apply_refund(replace(told, status=answer))
        if "failed" in answers:
            self.books.pay_by_card(paid.node, amount)
        else:
            paid.left -= amount

    @rule(target=disputes, paid=paid)
    def dispute(self, paid: "Paid") -> Any:
        """The whole payment is contested, whatever is left of it; a second dispute of it comes too."""
        told = DisputeState(
            f"dp_{self.key()}", paid.topup.payment_intent, paid.topup.amount, "AUD", "fraudulent", "needs_response",
            timezone.now(),
        )  # fmt: skip
        apply_dispute(told, "charge.dispute.created")
        self.books.reverse_card(paid.node, told.amount)
        paid.node.open_disputes.add(told.id)
        return paid.node, told

    @rule(one=disputes, decision=st.sampled_from(["won", "lost", "under_review"]), times=st.integers(1, 2))
    def decide(self, one: tuple[Node, DisputeState], decision: str, times: int) -> None:
        """The bank's decision, perhaps told twice; what is decided stays."""
        node, told = one
        for _ in range(times):
            apply_dispute(replace(told, status=decision), "charge.dispute.closed")
        if told.id not in node.open_disputes or decision == "under_review":
            return
        node.open_disputes.remove(told.id)
        if decision == "won":
            self.books.pay_by_card(node, told.amount)

    # --- SMS credits -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.in_credits)
    @rule(data=st.data(), quantity=st.sampled_from([1, 7, 40, 5000]), back=st.sampled_from([0, 0, 3, 8]))
    def transfer(self, data: Any, quantity: int, back: int) -> None:
        """Bought at today's price; some may go back at once, at the price of the oldest that are left."""
        node, lots = data.draw(st.sampled_from(self.in_credits))
        done = self.same(
            lambda: self.books.buy_credits(node, quantity),
            lambda: transfer_credits(
                client=self.accounts[node.id], quantity=quantity, actor=None, expected_price=None,
                idempotency_key=self.key(),
            ),
        )  # fmt: skip
        if done:
            lots.append(done[0])
        if done and back:
            self.give_back(node, lots, back)

    @precondition(lambda self: any(lots for _, lots in self.in_credits))
    @rule(data=st.data(), quantity=st.integers(1, 12))
    def take_back(self, data: Any, quantity: int) -> None:
        node, lots = data.draw(st.sampled_from([one for one in self.in_credits if one[1]]))
        self.give_back(node, lots, quantity)

    def give_back(self, node: Node, lots: list[Lot], quantity: int) -> None:
        self.same(
            lambda: self.books.return_credits(node, lots, quantity),
            lambda: take_back_credits(
                client=self.accounts[node.id], quantity=quantity, actor=None, expected_refund=None,
                idempotency_key=self.key(),
            ),
        )  # fmt: skip

    # --- Messages --------------------------------------------------------------------------------------------------

    @rule(
        target=batches,
        node=nodes,
        numbers=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5),
        parts=st.integers(1, 3),
        outcomes=outcomes,
    )
    def send_and_hear(self, node: Node, numbers: list[str], parts: int, outcomes: list[str]) -> Any:
        """The carrier answers at once, and what it said is settled."""
        sent = self.send(node, numbers, parts)
        if sent:
            self.carrier(sent, outcomes, then_settle=True)
        return sent or multiple()

    @rule(
        target=batches,
        node=nodes,
        numbers=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5),
        parts=st.integers(1, 3),
    )
    def send_and_wait(self, node: Node, numbers: list[str], parts: int) -> Any:
        return self.send(node, numbers, parts) or multiple()

    def send(self, node: Node, numbers: list[str], parts: int) -> tuple[Batch, messaging.Batch] | None:
        planned = self.same(
            lambda: self.books.accept(node, numbers, parts),
            lambda: accept_batch(
                account=self.accounts[node.id], actor=None, door="web", sender="Shop",
                text="a" * (160 if parts == 1 else 153 * parts), recipients=numbers,
            ),
        )  # fmt: skip
        if planned is None:
            return None
        expected, batch = planned
        assert (batch.price, batch.payer_id, batch.currency) == (expected.total, expected.payer, expected.currency)
        assert batch.message_count == len(expected.messages)
        return expected, batch

    @rule(sent=batches, outcomes=outcomes, then_settle=st.booleans())
    def carrier(self, sent: tuple[Batch, messaging.Batch], outcomes: list[str], then_settle: bool) -> None:
        """The carrier's words about what waits, and later about what was unknown."""
        expected, batch = sent
        for message, outcome in zip(expected.waiting("queued", "unknown"), outcomes, strict=False):
            message.state = outcome
            moment = timezone.now() if outcome in message.TAKEN else None
            found = messaging.Message.objects.filter(batch=batch, recipient=message.number)
            assert found.update(state=outcome, sent_at=moment) == 1
        if then_settle:
            self.settle()

    @rule(sent=batches)
    def cancel(self, sent: tuple[Batch, messaging.Batch]) -> None:
        expected, batch = sent
        waiting = expected.waiting("queued")
        if not waiting:
            with pytest.raises(SendingError):
                cancel_batch(batch=batch, actor=None)
            return
        assert cancel_batch(batch=batch, actor=None) == len(waiting)
        for message in waiting:
            message.state = "cancelled"

    @rule()
    def settle(self) -> None:
        assert settle_waiting(1000) == self.books.settle()

    # --- Comparing -------------------------------------------------------------------------------------------------

    def same(self, expect: Any, act: Any) -> Any:
        """Both sides do it (their results) or both refuse (None)."""
        try:
            expected = expect()
        except Refused as why:
            try:
                with transaction.atomic():
                    done = act()
            except (BillingError, SendingError):
                return None
            raise AssertionError(f"the portal did {done}, which must be refused: {why}") from why
        return expected, act()

    @invariant()
    def every_balance_is_the_models(self) -> None:
        rows = LedgerAccount.objects.exclude(balance=0).values_list("owner_id", "kind", "currency", "balance")
        found = {
            (PLATFORM if owner == self.platform.pk else owner, kind, currency): balance
            for owner, kind, currency, balance in rows
        }
        assert found == self.books.known()

    @invariant()
    @precondition(lambda self: self.keys % 3 == 0)
    def the_books_are_right(self) -> None:
        self.prove(BILLING_PROOFS)

    def prove(self, proofs: tuple[Proof, ...]) -> None:
        check_now()
        assert [verdict for verdict in run_proofs(proofs) if verdict.count] == []


def terms_for(method: str) -> dict[str, Any]:
    values: dict[str, Any] = {"method": method}
    if method == Method.CARD_FIXED:
        values |= {"fixed_topup": D(20)}
    if method == Method.CARD_VARIABLE:
        values |= {"minimum_topup": D(5), "daily_topup_limit": D(500)}
    return values


LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
QUICK = settings(
    max_examples=400 if LONG else 20,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    database=None,
    phases=[Phase.generate] if not LONG else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.long
def test_every_balance_is_the_models_after_every_step(db: None) -> None:
    run_state_machine_as_test(Money, settings=QUICK)


@pytest.mark.parametrize("broken", ["a margin is forgotten", "what was refused is charged"])
def test_canary_the_machine_notices_when(db: None, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A comparison that cannot fail would prove nothing."""
    if broken == "a margin is forgotten":
        monkeypatch.setattr(settling, "_margins", lambda quote: [])
    else:
        charged = tuple(query.replace("sent_at IS NOT NULL AS", "true AS") for query in settling._PICKS)
        monkeypatch.setattr(settling, "_PICKS", charged)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Money, settings=settings(QUICK, max_examples=100, phases=[Phase.generate], derandomize=True)
        )
