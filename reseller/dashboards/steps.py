"""What a new account does first, in order, with what is done already."""

from dataclasses import dataclass

from django.urls import reverse

from accounts.access import MAY_BILL, MAY_MANAGE, MAY_SEND
from accounts.models import Account, Membership
from billing.models import BillingTerms
from billing.selectors import Balance


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    title: str
    text: str
    url: str
    action: str
    icon: str
    is_done: bool = False


def next_steps(
    account: Account, membership: Membership, terms: BillingTerms | None, balance: Balance | None, clients: int
) -> list[Step]:
    """Steps that the person's role allows; ``balance`` None where no money is shown."""
    role = membership.role
    steps = []
    if balance is not None and terms is not None and terms.pays_by_card and role in MAY_BILL:
        steps.append(
            Step("Add credit", "Messages are paid from a prepaid balance.", reverse("billing:add-credit"), "ADD CREDIT",
                 "credit-card", is_done=balance.available > 0)
        )  # fmt: skip
    if account.can_have_children and role in MAY_MANAGE:
        steps.append(
            Step("Set what new clients start with", "Your SMS margin, payment method and limits fill every new form.",
                 reverse("clients:defaults"), "SETTINGS", "adjustments")
        )  # fmt: skip
        steps.append(
            Step("Add your first client", "You decide who pays, at what price and with which limits.",
                 reverse("clients:add"), "ADD CLIENT", "user-plus", is_done=clients > 0)
        )  # fmt: skip
    if role in MAY_SEND:
        steps.append(
            Step("Send your first SMS", "The preview shows what is sent and what is left out before anything goes.",
                 reverse("messaging:send"), "SEND SMS", "send")
        )  # fmt: skip
    return steps
