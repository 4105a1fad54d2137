"""Taking the double's webhooks to the portal, in whatever order and however often."""

from collections.abc import Iterable
from decimal import Decimal

from django.test import Client

from billing.models import PaymentEvent, SavedCard, TopUp
from billing.selectors import balance_of
from billing.services.payment_events import process_event
from billing.services.topups import start_topup
from tests.cast import Member
from tests.stripe_double import Double, Webhook

URL = "/billing/webhooks/stripe/"


def post(hook: Webhook) -> int:
    """Deliver as Stripe does: no session, no CSRF token."""
    return (
        Client(enforce_csrf_checks=True)
        .post(URL, hook.payload, content_type="application/json", headers={"Stripe-Signature": hook.signature})
        .status_code
    )


def process_all() -> None:
    for event_id in PaymentEvent.objects.filter(processed_at=None).order_by("pk").values_list("event_id", flat=True):
        process_event(event_id)


def deliver(hooks: Iterable[Webhook]) -> None:
    """Each is taken and acted on before the next comes."""
    for hook in hooks:
        assert post(hook) == 200
        process_all()


def told(double: Double, count: int) -> list[Webhook]:
    """The next ``count`` webhooks, taken out of the double's inbox, in the order in which they happened."""
    hooks = sorted(double.received(count), key=lambda hook: order_of(double, hook))
    assert len(hooks) == count, [hook.payload[:120] for hook in hooks]
    double.inbox.clear()
    return hooks


def order_of(double: Double, hook: Webhook) -> int:
    return next(n for n, event in enumerate(double.events()) if event["id"].encode() in hook.payload)


def paid_topup(double: Double, member: Member, amount: str = "50") -> TopUp:
    """A top-up that was paid on the payment page and credited by its webhooks."""
    topup = start_topup(account=member.account, amount=Decimal(amount), actor=member.user)
    double.pay(topup.session_id)
    deliver(told(double, 3))
    topup.refresh_from_db()
    assert topup.state == "paid"
    return topup


def available(member: Member) -> Decimal:
    return balance_of(member.account).available


def keep_card(double: Double, member: Member, number: str = "4242 4242 4242 4242") -> SavedCard:
    """A card that was kept with a payment of 10."""
    topup = start_topup(account=member.account, amount=Decimal(10), actor=member.user, saves_card=True)
    double.pay(topup.session_id, number)
    deliver(told(double, 3))
    return SavedCard.objects.get(account=member.account)
