"""How the demo's payers keep money in their wallets."""

from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import User
from billing.models import BillingTerms, TopUp
from billing.services import card_movements, ledger
from billing.services.credits import take_back_credits, transfer_credits
from billing.services.notices import set_notices
from reseller.demo.people import Person

# (balance below which it is filled up, by how much); the first filling is twice that for those free to choose.
_POLICIES: dict[str, tuple[str, str]] = {
    "reseller": ("200", "300"),
    "client": ("15", "30"),
    "fixed": ("0", "25"),
    "outsider": ("50", "100"),
    "outsider-client": ("5", "10"),
}


class Purse:
    """A payer's wallet while the history is written: spends in order of time and fills up when it runs low."""

    def __init__(self, login: str, person: Person, now: datetime) -> None:
        self._person = person
        self._now = now
        self._balance = Decimal(0)
        floor, amount = _POLICIES.get(login, ("0", "0"))
        self._floor, self._amount = Decimal(floor), Decimal(amount)
        self._fillings = 0

    def spend(self, amount: Decimal, at: datetime) -> None:
        """Take ``amount`` at the moment ``at``, after filling the wallet as often as that needs."""
        while self._balance < amount + self._floor:
            self._fill(at)
        self._balance -= amount

    def gain(self, amount: Decimal) -> None:
        """Note money that came back or was earned."""
        self._balance += amount

    def _fill(self, at: datetime) -> None:
        is_first = self._fillings == 0 and self._person.terms.method != BillingTerms.Method.CARD_FIXED
        amount = 2 * self._amount if is_first else self._amount
        self._fillings += 1
        self._balance += amount
        if self._person.terms.pays_by_card:
            pay_by_card(self._person, amount, at - timedelta(minutes=17))
            return
        ledger.manual_payment(
            account=self._person.account, amount=amount, key=f"demo:{self._person.account.code}:{self._fillings}",
            reason=f"Demo: bank transfer of {at:%d %b %Y}, booked when the demo was loaded", actor=None,
        )  # fmt: skip


def pay_by_card(person: Person, amount: Decimal, paid_at: datetime) -> None:
    """A top-up by card of ``amount``, in the person's currency, at a moment of the past."""
    topup = TopUp(
        account=person.account, amount=amount, currency=person.account.currency, state=TopUp.State.PAID,
        card="Visa 4242", created_by=person.user, created_at=paid_at - timedelta(minutes=1), paid_at=paid_at,
        expires_at=paid_at + timedelta(minutes=34),
    )  # fmt: skip
    topup.transaction = card_movements.credit_card_payment(
        account=topup.account, amount=amount, topup_code=topup.code, actor=person.user
    )
    topup.save()


def hand_out_credits(person: Person) -> None:
    """Two transfers of SMS credits from the client's parent, of which some came back, and a limit to hear of."""
    client, parent = person.account, person.account.parent
    owner = User.objects.filter(memberships__account=parent).first()
    for number, quantity in enumerate((300, 200), start=1):
        transfer_credits(
            client=client, quantity=quantity, actor=owner, expected_price=None, idempotency_key=f"demo:{number}"
        )
    take_back_credits(client=client, quantity=50, actor=owner, expected_refund=None, idempotency_key="demo:back")
    set_notices(account=client, actor=owner, credits_limit=100)
